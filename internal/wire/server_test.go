package wire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/internal/doors"
	"github.com/connectum-go/connectum/internal/wire"
)

// server is a net/http server over a wire.Listener, set up as the root does it.
type server struct {
	*http.Server
	l      *wire.Listener
	addr   string
	memory *doors.Memory  // nil: a socket
	pool   *x509.CertPool // nil: plaintext
	mu     sync.Mutex
	events []wire.Event
}

// all is every part of the package, on.
func all() wire.Config {
	return wire.Config{Batch: true, GoAway: true, Meter: wire.DefaultMeter()}
}

func secured(t testing.TB, cfg wire.Config) wire.Config {
	t.Helper()
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2", "http/1.1"}}
	return cfg
}

// serve starts a server and stops it with the test. change may be nil.
func serve(t testing.TB, cfg wire.Config, h http.Handler, change func(*http.Server)) *server {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, tcp, cfg, h, change)
}

// bubble runs f beside a server by the fake clock, over connections in memory.
func bubble(t *testing.T, cfg wire.Config, h http.Handler, change func(*http.Server), f func(t *testing.T, s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		memory := doors.NewMemory("wire.test:80")
		s := serveOn(t, memory, cfg, h, change)
		s.memory = memory
		f(t, s)
	})
}

func serveOn(t testing.TB, tcp net.Listener, cfg wire.Config, h http.Handler, change func(*http.Server)) *server {
	t.Helper()
	s := &server{addr: tcp.Addr().String()}
	report := cfg.Report
	cfg.Report = func(e wire.Event) {
		s.mu.Lock()
		s.events = append(s.events, e)
		s.mu.Unlock()
		if report != nil {
			report(e)
		}
	}
	if cfg.TLS != nil {
		s.pool = x509.NewCertPool()
		leaf, _ := x509.ParseCertificate(cfg.TLS.Certificates[0].Certificate[0])
		s.pool.AddCert(leaf)
	}
	s.l = wire.Listen(tcp, cfg)
	s.Server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c := wire.FromContext(r.Context()); c != nil {
				r.TLS = c.TLS()
				if r.ProtoMajor == 1 && c.Leaving() || c.Overstayed() {
					w.Header().Set("Connection", "close")
				}
			}
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ConnState:         s.l.ConnState,
		ConnContext:       s.l.ConnContext,
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	if change != nil {
		change(s.Server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(s.l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
		eventually(t, "every connection is closed", func() bool { return s.l.Stats().Open == 0 })
	})
	return s
}

// seen returns the events of a kind.
func (s *server) seen(kind wire.EventKind) (events []wire.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}

// client returns an http.Client for one protocol, "h1" or "h2", with a
// connection pool of its own.
func (s *server) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: 1000}
	switch {
	case proto == "h1":
		tr.Protocols.SetHTTP1(true)
	case s.pool != nil:
		tr.Protocols.SetHTTP2(true)
	default:
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	if s.pool != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: s.pool, ServerName: "wire.test"}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *server) url(path string) string {
	if s.pool != nil {
		return "https://" + s.addr + path
	}
	return "http://" + s.addr + path
}

// dial opens a raw connection, handshaken for h2 if the server wants TLS.
func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	c := tcp(t, s)
	if s.pool != nil {
		c = tls.Client(c, &tls.Config{RootCAs: s.pool, ServerName: "wire.test", NextProtos: []string{"h2"}})
	}
	return c
}

// each runs f for the four ways to reach a server.
func each(t *testing.T, f func(t *testing.T, cfg wire.Config, proto string)) {
	for _, secure := range []bool{false, true} {
		for _, proto := range []string{"h1", "h2"} {
			name := proto
			if secure {
				name += " over TLS"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cfg := all()
				if secure {
					cfg = secured(t, cfg)
				}
				f(t, cfg, proto)
			})
		}
	}
}

// eventually polls until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// within fails the test unless c is closed or sends in time.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("never: %s", what)
	}
	return v
}

var certificate = func() func(testing.TB) tls.Certificate {
	make := sync.OnceValues(func() (tls.Certificate, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), DNSNames: []string{"wire.test"},
			NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0), // by the fake clock, too
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	})
	return func(t testing.TB) tls.Certificate {
		c, err := make()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}()
