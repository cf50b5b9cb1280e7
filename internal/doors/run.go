package doors

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
)

// Config says how to run a server. The zero value serves on the loopback.
type Config struct {
	// Memory serves on a listener in memory, which also works inside
	// testing/synctest. The default is two free ports of 127.0.0.1.
	Memory bool

	// TLS is the clients' configuration for a server that ends TLS itself: the
	// authority to trust, the certificate to show. The default is for a
	// plaintext server.
	TLS *tls.Config
}

// Run is a server that runs until the test ends.
type Run struct {
	// Server is what runs.
	Server *connectum.Server

	plain, secure url // plain is empty when the server ends TLS itself
	trust         *tls.Config
	dial          func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network's

	mu         sync.Mutex
	transports []*http.Transport
	stop       sync.Once
	done       chan struct{}
	err        error
}

type url = string

// patience bounds the start of a server, on a machine that may be busy, and
// inFlight what calls that are in flight get when it stops.
const (
	patience = 30 * time.Second
	inFlight = 5 * time.Second
)

// Start serves srv until the test ends, and returns when it accepts calls.
// The test fails when the server does not start, when calls are still in flight
// at the end, and when the stop or one of its hooks fails.
func Start(t testing.TB, srv *connectum.Server, cfg Config) *Run {
	t.Helper()
	r := &Run{Server: srv, trust: cfg.TLS, done: make(chan struct{})}
	l := r.listen(t, cfg)
	go func() {
		defer close(r.done)
		r.err = srv.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		t.Helper()
		if err := r.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	r.await(t, l)
	if cfg.TLS == nil && endsTLS(srv) {
		t.Fatal("start the server: it ends TLS itself, so its clients need a TLS configuration: see WithTLS")
	}
	return r
}

// endsTLS reports whether srv has a certificate of its own.
func endsTLS(srv *connectum.Server) bool {
	for m := range srv.Metrics() {
		if m.Name == "connectum_tls_certificate_expiry_seconds" {
			return true
		}
	}
	return false
}

// Stop stops the server, as the end of the test would, and returns the error of
// its run. Calls that are in flight get 5 s.
func (r *Run) Stop() error {
	r.stop.Do(func() {
		r.CloseIdle()
		ctx, cancel := context.WithTimeout(context.Background(), inFlight)
		defer cancel()
		_ = r.Server.Shutdown(ctx) // the same error as of Serve
		r.CloseIdle()
	})
	<-r.done
	if errors.Is(r.err, connectum.ErrServerClosed) {
		return nil // stopped by the test before it ran
	}
	return r.err
}

// CloseIdle closes the idle connections of all clients.
func (r *Run) CloseIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tr := range r.transports {
		tr.CloseIdleConnections()
	}
}

// await waits until the server runs: it asks for connections before it says so,
// and between the two it waits for nothing. So no time passes in the bubble of a
// test that counts it.
func (r *Run) await(t testing.TB, l *listener) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	failed := func() { t.Helper(); t.Fatalf("start the server: it is %v after %v", r.Server.State(), patience) }
	select {
	case <-l.accepting:
	case <-r.done:
		if r.err != nil {
			t.Fatalf("start the server: %v", r.err)
		}
		return // told to stop meanwhile
	case <-late.C:
		failed()
	}
	for r.Server.State() == connectum.StateStarting {
		select {
		case <-late.C:
			failed()
		default:
			runtime.Gosched()
		}
	}
}

// listen opens what the server serves on.
func (r *Run) listen(t testing.TB, cfg Config) *listener {
	t.Helper()
	var ends *tls.Config // of the kit
	if cfg.TLS == nil {
		ca := certs.NewCA(t)
		ends = &tls.Config{Certificates: []tls.Certificate{ca.Server(t).TLS}, NextProtos: []string{"h2", "http/1.1"}}
		r.trust = &tls.Config{RootCAs: ca.Pool()}
	}
	open := func(scheme string) (net.Listener, url) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("listen: %v", err)
		}
		return l, scheme + "://" + l.Addr().String()
	}
	if cfg.Memory {
		network := map[string]*Memory{}
		open = func(scheme string) (net.Listener, url) {
			port := map[string]string{"http": "80", "https": "443"}[scheme]
			m := NewMemory("localhost:" + port)
			network[m.Addr().String()] = m
			return m, scheme + "://localhost"
		}
		r.dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
			if m := network[addr]; m != nil {
				return m.Dial(ctx)
			}
			return nil, &net.OpError{Op: "dial", Net: "memory", Err: errors.New("nobody listens on " + addr)}
		}
	}
	var l net.Listener
	if ends == nil {
		l, r.secure = open("https")
		return merge(l)
	}
	l, r.plain = open("http")
	s, at := open("https")
	r.secure = at
	return merge(l, tls.NewListener(s, ends))
}
