package wire_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

// ended waits for the end of a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was left open")
	}
}

// tcp connects to s.
func tcp(t testing.TB, s *server) (c net.Conn) {
	t.Helper()
	var err error
	if s.memory != nil {
		c, err = s.memory.Dial(t.Context())
	} else {
		c, err = net.Dial("tcp", s.addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTheHandshakeHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	cfg := secured(t, all())
	cfg.HandshakeTimeout = 5 * time.Second
	bubble(t, cfg, hello, func(s *http.Server) { s.ReadHeaderTimeout = time.Hour }, func(t *testing.T, s *server) {
		began := time.Now()
		ended(t, tcp(t, s)) // silent
		if took := time.Since(began); took != cfg.HandshakeTimeout {
			t.Errorf("it was open for %v", took)
		}
		events := s.seen(wire.HandshakeFailed)
		if len(events) != 1 || !errors.Is(events[0].Err, os.ErrDeadlineExceeded) || s.l.Stats().HandshakeErrors != 1 {
			t.Errorf("events: %v", events)
		}
	})
}

func TestTheHeaderDeadlineBeginsAfterTheHandshake(t *testing.T) {
	t.Parallel()
	const header, slow = 3 * time.Second, 4 * time.Second
	cfg := secured(t, all())
	cfg.HandshakeTimeout = time.Minute
	bubble(t, cfg, hello, func(s *http.Server) { s.ReadHeaderTimeout = header }, func(t *testing.T, s *server) {
		c := s.dial(t).(*tls.Conn)
		time.Sleep(slow) // a slow handshake
		if err := c.Handshake(); err != nil {
			t.Fatalf("the handshake was cut by the deadline of the request: %v", err)
		}
		shaken := time.Now()
		ended(t, c) // and no request
		if took := time.Since(shaken); took != header {
			t.Errorf("the request had %v, want %v", took, header)
		}
	})
}

func TestAFailedHandshakeIsAnEvent(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := serve(t, secured(t, all()), hello, func(s *http.Server) { s.ErrorLog = newLogger(&log) })
	c := tcp(t, s)
	c.Write([]byte("\x16\x03\x01\x00\x04\x02\x00\x00\x00"))
	ended(t, c)
	eventually(t, "the failure is told", func() bool { return len(s.seen(wire.HandshakeFailed)) == 1 })

	c = tcp(t, s)
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plaintext: %v, %v", resp, err)
	}
	eventually(t, "the second is told", func() bool { return len(s.seen(wire.HandshakeFailed)) == 2 })
	s.Shutdown(t.Context())
	if log.Len() > 0 {
		t.Errorf("net/http logged %q", log.String())
	}
}

func TestAPanicInAHandshakeEndsItsConnectionAlone(t *testing.T) {
	t.Parallel()
	cfg := secured(t, all())
	cfg.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "bad.test" {
			panic("a callback")
		}
		return nil, nil
	}
	s := serve(t, cfg, hello, nil)
	c := tls.Client(tcp(t, s), &tls.Config{ServerName: "bad.test", InsecureSkipVerify: true})
	if err := c.Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	eventually(t, "the failure is told", func() bool { return len(s.seen(wire.HandshakeFailed)) == 1 })
	if err := s.seen(wire.HandshakeFailed)[0].Err; !strings.Contains(err.Error(), "panic: a callback") {
		t.Errorf("told %v", err)
	}
	s.dial(t) // the next one is served
}

func TestALPNDecidesNothingButABadPreface(t *testing.T) {
	t.Parallel()
	s := serve(t, secured(t, all()), hello, nil)
	c := s.dial(t) // h2
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: wire.test\r\n\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("HTTP/1.1 was answered where h2 was agreed on: %q", got)
	}
}

func TestNetHTTPSeesNoTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := wire.Listen(l, secured(t, all()))
	defer w.Close()
	go func() {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
		}
	}()
	c, err := w.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		t.Error("net/http will not look for the preface of HTTP/2")
	}
	if state := c.(*wire.Conn).TLS(); state != nil {
		t.Error("a state before the handshake")
	}
}

func TestClientCertificatesReachTheHandler(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		if cfg.TLS == nil {
			return
		}
		base := cfg.TLS
		cfg.TLS = &tls.Config{
			Certificates: base.Certificates,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { // as reload does
				c := base.Clone()
				c.ClientAuth = tls.RequireAnyClientCert
				return c, nil
			},
		}
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || len(r.TLS.PeerCertificates) != 1 {
				t.Errorf("r.TLS = %v", r.TLS)
			}
		}), nil)
		client := s.client(t, proto)
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = base.Certificates
		resp, err := client.Get(s.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[string]int{"h1": 1, "h2": 2}[proto]; resp.ProtoMajor != want {
			t.Errorf("protocol = %s", resp.Proto)
		}
	})
}
