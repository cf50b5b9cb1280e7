package connectum_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
)

// starved is a listener of a process that has no file descriptors left for a
// while: its Accept fails so often, as the system's does.
type starved struct {
	net.Listener
	left, failed atomic.Int64
}

type noDescriptors struct{}

func (noDescriptors) Error() string   { return "accept: too many open files" }
func (noDescriptors) Timeout() bool   { return false }
func (noDescriptors) Temporary() bool { return true }

func (l *starved) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		l.failed.Add(1)
		return nil, noDescriptors{}
	}
	return l.Listener.Accept()
}

// A server that has run out of file descriptors accepts again when it has some,
// whoever stands between its listener and net/http.
func TestAcceptGoesOnAfterATemporaryError(t *testing.T) {
	t.Parallel()
	serve := func(c *connectum.EngineConn) { _ = c.Close() }
	for name, engines := range map[string][]connectum.Engine{
		"net/http alone": nil,
		"an engine":      {{Door: "x", Serve: serve, Claims: func(*connectum.EngineConn, []byte) bool { return false }}},
		"an engine with an address": {
			{Door: "x", Serve: serve, Addr: "127.0.0.1:0"},
			{Door: "y", Serve: serve, Claims: func(*connectum.EngineConn, []byte) bool { return false }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := &starved{Listener: tcp}
			l.left.Store(4)
			srv := connectum.New(quiet())
			for _, e := range engines {
				srv.AddEngine(e)
			}
			srv.Handle("GET /plain", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- srv.Serve(ctx, l) }()
			client := &http.Client{Transport: new(http.Transport), Timeout: patience}
			defer client.CloseIdleConnections()
			res, err := client.Get("http://" + tcp.Addr().String() + "/plain")
			if err != nil {
				t.Errorf("after %d failures: %v", l.failed.Load(), err)
			} else {
				_ = res.Body.Close()
			}
			if n := l.failed.Load(); n != 4 {
				t.Errorf("Accept failed %d times, want 4", n)
			}
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Serve: %v", err)
				}
			case <-time.After(3 * patience):
				t.Fatal("Serve does not return")
			}
		})
	}
}
