package doors

import (
	"net"
	"sync"
)

// listener is several listeners in one. Connections come out as they are, so
// that a server does with them what it does in production.
type listener struct {
	from      []net.Listener
	conns     chan net.Conn
	accepting chan struct{} // closed by the first Accept
	closed    chan struct{}
	first     sync.Once
	closing   sync.Once
	accepts   sync.WaitGroup
}

func merge(from ...net.Listener) *listener {
	l := &listener{from: from, conns: make(chan net.Conn), accepting: make(chan struct{}), closed: make(chan struct{})}
	for _, one := range from {
		l.accepts.Go(func() { l.accept(one) })
	}
	return l
}

func (l *listener) accept(one net.Listener) {
	for {
		c, err := one.Accept()
		if err != nil {
			return // closed
		}
		select {
		case l.conns <- c:
		case <-l.closed:
			_ = c.Close()
		}
	}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	l.first.Do(func() { close(l.accepting) })
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.closing.Do(func() {
		close(l.closed)
		for _, one := range l.from {
			_ = one.Close()
		}
		l.accepts.Wait()
	})
	return nil
}

// Addr implements [net.Listener] and returns the address of the first.
func (l *listener) Addr() net.Addr { return l.from[0].Addr() }
