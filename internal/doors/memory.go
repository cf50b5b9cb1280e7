package doors

import (
	"context"
	"net"
	"sync"
)

// Memory is a [net.Listener] without a network: what Dial returns comes out of
// Accept. Unlike over [net.Pipe] both ends may write first, as HTTP/2 does, and
// a waiting connection is idle in the sense of testing/synctest.
type Memory struct {
	addr   memoryAddr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewMemory returns a listener whose address reads as addr.
func NewMemory(addr string) *Memory {
	return &Memory{addr: memoryAddr(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the listener. It waits until the connection is accepted.
func (m *Memory) Dial(ctx context.Context) (net.Conn, error) {
	server, client := Pipe(m.addr, memoryAddr("client"))
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, &net.OpError{Op: "dial", Net: m.addr.Network(), Addr: m.addr, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: m.addr.Network(), Addr: m.addr, Err: ctx.Err()}
	}
}

// Accept implements [net.Listener].
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, &net.OpError{Op: "accept", Net: m.addr.Network(), Addr: m.addr, Err: net.ErrClosed}
	}
}

// Close implements [net.Listener].
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr implements [net.Listener].
func (m *Memory) Addr() net.Addr { return m.addr }

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }
