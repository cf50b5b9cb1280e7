package connectum

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

// router stands between the wire and net/http when there are engines: it looks
// at each connection in a goroutine of the connection's own, and gives it to
// whoever serves it.
type router struct {
	*wire.Listener
	server *Server
	cfg    wire.Greeting
	plain  chan net.Conn // for net/http
	broken chan error
	closed chan struct{}
	once   sync.Once

	conns     sync.WaitGroup // those that net/http does not serve
	unsettled atomic.Int64   // those that nobody serves yet

	mu   sync.Mutex
	mine map[*wire.Conn]struct{} // the same
}

func (s *Server) newRouter(l *wire.Listener) *router {
	lim := &s.limits
	r := &router{Listener: l, server: s, plain: make(chan net.Conn), broken: make(chan error),
		closed: make(chan struct{}), mine: map[*wire.Conn]struct{}{},
		cfg: wire.Greeting{Begin: max(lim.HeaderTimeout, 0), Idle: max(lim.IdleTimeout, 0),
			MaxHeaderBytes: lim.MaxHeaderBytes, MaxStreams: lim.MaxConcurrentStreams}}
	r.conns.Go(r.accept)
	return r
}

func (r *router) accept() {
	for {
		c, err := r.Listener.Accept()
		if err != nil {
			if !pass(r.broken, err, r.closed) {
				return
			}
			continue
		}
		conn := c.(*wire.Conn)
		r.mu.Lock()
		r.mine[conn] = struct{}{}
		r.mu.Unlock()
		r.unsettled.Add(1)
		r.conns.Go(func() { r.route(conn) })
	}
}

// pass tells whoever calls Accept of err, and reports whether to try again: when he
// has taken it, and it is one to go on after.
func pass(broken chan<- error, err error, closed <-chan struct{}) bool {
	select {
	case broken <- err:
		return wire.IsTemporary(err)
	case <-closed:
		return false
	}
}

// route serves c, or gives it to net/http.
func (r *router) route(c *wire.Conn) {
	conn, plain := r.settle(c)
	if conn != nil {
		conn.serve() // from here, as its stack is that of an idle connection
	}
	r.mu.Lock()
	delete(r.mine, c)
	r.mu.Unlock()
	if plain {
		r.hand(c)
	}
}

// hand gives c to net/http.
func (r *router) hand(c *wire.Conn) {
	defer r.unsettled.Add(-1)
	select {
	case r.plain <- c:
	case <-r.closed:
		_ = c.Close()
	}
}

// settle finds out who serves c: an engine, net/http, or nobody. Until net/http
// has it, it counts as unsettled.
func (r *router) settle(c *wire.Conn) (conn *EngineConn, plain bool) {
	defer func() {
		if !plain {
			r.unsettled.Add(-1)
		}
	}()
	s := r.server
	if tag := c.Tag(); tag > 0 {
		return s.newEngineConn(c, s.engines[tag-1]), false
	}
	block, err := c.Greet(r.cfg)
	if err != nil {
		_ = c.Close()
		return nil, false
	}
	if block == nil || c.Leaving() { // who came late is told by what is there for it
		return nil, true
	}
	for _, e := range s.engines {
		if e.Claims == nil || e.Addr != "" {
			continue
		}
		if conn := s.newEngineConn(c, e); conn.claimed(block) {
			return conn, false
		}
	}
	return nil, true
}

// Accept implements [net.Listener]: for net/http.
func (r *router) Accept() (net.Conn, error) {
	select {
	case c := <-r.plain:
		return c, nil
	case err := <-r.broken:
		return nil, err
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (r *router) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Listener.Close()
}

// wait waits until the engines have no connections, and reports whether they
// had none before ctx ended.
func (r *router) wait(ctx context.Context) bool {
	done := make(chan struct{})
	go func() { r.conns.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut closes the connections that net/http does not know of.
func (r *router) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.mine {
		_ = c.Close()
	}
}

// listeners is what Config.Addr and the addresses of engines accept, together.
type listeners struct {
	main    net.Listener
	own     []net.Listener
	tags    []int
	conns   chan net.Conn
	broken  chan error
	closed  chan struct{}
	once    sync.Once
	accepts sync.WaitGroup

	mu    sync.Mutex
	late  int           // listeners whose deadline has passed
	again chan struct{} // closed when there is another
}

func (l *listeners) begin() {
	l.conns, l.broken, l.closed = make(chan net.Conn), make(chan error, 1+len(l.own)), make(chan struct{})
	l.again = make(chan struct{})
	l.accepts.Go(func() { l.accept(l.main, 0) })
	for i, one := range l.own {
		l.accepts.Go(func() { l.accept(one, l.tags[i]) })
	}
}

func (l *listeners) accept(one net.Listener, tag int) {
	for {
		c, err := one.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if !l.await(err) {
				return
			}
			continue
		}
		if err != nil {
			if !pass(l.broken, err, l.closed) {
				return
			}
			continue
		}
		if tag > 0 {
			c = &wire.Tagged{Conn: c, Tag: tag}
		}
		select {
		case l.conns <- c:
		case <-l.closed:
			_ = c.Close()
		}
	}
}

// SetDeadline bounds Accept, if it can be bounded for all: it fails when none of
// them has accepted anything more.
func (l *listeners) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range append([]net.Listener{l.main}, l.own...) {
		d, ok := one.(interface{ SetDeadline(t time.Time) error })
		if !ok {
			return errors.ErrUnsupported
		}
		if err := d.SetDeadline(t); err != nil {
			return err
		}
	}
	l.late = 0
	close(l.again)
	l.again = make(chan struct{})
	return nil
}

// await waits for another deadline, and reports false when there will be none. The
// last one to wait tells err.
func (l *listeners) await(err error) bool {
	l.mu.Lock()
	again := l.again
	if l.late++; l.late == 1+len(l.own) {
		select {
		case l.broken <- err:
		default: // it has been told
		}
	}
	l.mu.Unlock()
	select {
	case <-again:
		return true
	case <-l.closed:
		return false
	}
}

// Accept implements [net.Listener].
func (l *listeners) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case err := <-l.broken:
		return nil, err
	}
}

// Close implements [net.Listener].
func (l *listeners) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.main.Close()
		l.closeOwn()
		l.accepts.Wait()
	})
	return err
}

func (l *listeners) closeOwn() {
	for _, one := range l.own {
		_ = one.Close()
	}
}

// Addr implements [net.Listener].
func (l *listeners) Addr() net.Addr { return l.main.Addr() }
