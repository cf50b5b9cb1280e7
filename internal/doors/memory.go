package doors

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
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

// Open is Dial for a test, which fails when nobody listens. The connection is
// closed when the test ends.
func (m *Memory) Open(t testing.TB) net.Conn {
	t.Helper()
	c, err := m.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Client returns an HTTP client whose connections are those of the listener, over
// HTTP/1.1, or with two over HTTP/2 in plaintext. It asks for no compression.
func (m *Memory) Client(t testing.TB, two bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!two)
	p.SetUnencryptedHTTP2(two)
	tr := &http.Transport{Protocols: p, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return m.Dial(ctx) }}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
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
