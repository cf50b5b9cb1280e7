package wire_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

// pour writes to the client until it fails, and sends why.
func pour(failed chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		for {
			if _, err := w.Write(make([]byte, 3000)); err != nil {
				failed <- err
				return
			}
		}
	})
}

func TestAPeerThatReadsNothingIsCutByWriteByteTimeout(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			s := serve(t, cfg, pour(failed), func(s *http.Server) {
				s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 300 * time.Millisecond}
			})
			p := s.peer(t)
			p.send(get(1, "/"))
			within(t, "the handler is told", failed)
			eventually(t, "the connection is closed", func() bool { return s.l.Stats().Open == 0 })
		})
	}
}

// However slow a peer is, it is not cut as long as it takes a byte in the time.
// The control: one that does not is cut, by the same clock; as by net/http alone,
// what went out at first counts.
func TestASlowPeerIsNotCutByWriteByteTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Second
	for name, cfg := range ways(t) {
		taken := int64(1 << 10)
		if cfg.TLS != nil {
			taken = 128 << 10 // less may be left of what the client has read, or decrypted, ahead
		}
		for pause, cut := range map[time.Duration]bool{timeout - time.Second: false, 2*timeout + time.Second: true} {
			t.Run(fmt.Sprintf("%s, %v", name, pause), func(t *testing.T) {
				t.Parallel()
				failed := make(chan error, 1)
				change := func(s *http.Server) { s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: timeout} }
				bubble(t, cfg, pour(failed), change, func(t *testing.T, s *server) {
					p := s.peer(t)
					p.SetDeadline(time.Time{})
					p.send(get(1, "/"))
					for range 12 {
						time.Sleep(pause)
						if _, err := io.CopyN(io.Discard, p, taken); err != nil {
							break
						}
					}
					if len(failed) > 0 != cut {
						t.Errorf("cut: %v, want %v", !cut, cut)
					}
				})
			})
		}
	}
}

func TestAPeerThatLeavesEndsItsHandlers(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			s := serve(t, cfg, pour(failed), nil)
			p := s.peer(t)
			p.send(get(1, "/"))
			io.CopyN(io.Discard, p, 1<<20)
			p.Close()
			within(t, "the handler is told", failed)
			eventually(t, "the connection is closed", func() bool { return s.l.Stats().Open == 0 })
		})
	}
}

func TestHalfClosedPeers(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1.1 still gets its answer", func(t *testing.T) {
		t.Parallel()
		s := serve(t, all(), hello, nil)
		c := tcp(t, s)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: wire.test\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("HTTP/2 is over, as net/http has it", func(t *testing.T) {
		t.Parallel()
		s := serve(t, all(), hello, nil)
		p := s.peer(t)
		p.send(get(1, "/"))
		p.answered(1)
		p.Conn.(*net.TCPConn).CloseWrite()
		p.rest()
		eventually(t, "the connection is closed", func() bool { return s.l.Stats().Open == 0 })
	})
}

func TestTheServersCloseDoesNotWaitForPeersThatDoNotRead(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 20)
	s := serve(t, all(), pour(failed), nil)
	for range 20 {
		p := s.peer(t)
		p.send(get(1, "/"))
	}
	eventually(t, "all are busy", func() bool { return s.l.Stats().Active == 20 })
	closed := make(chan error, 1)
	go func() { closed <- s.Server.Close() }()
	within(t, "the server is closed", closed)
	for range 20 {
		within(t, "the handler is told", failed)
	}
	eventually(t, "the connections are closed", func() bool { return s.l.Stats().Open == 0 })
}

func TestFilesAndHijackedConnectionsPass(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	content := make([]byte, 1<<20)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/file" {
				http.ServeFile(w, r, file)
				return
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				if proto == "h1" || !errors.Is(err, http.ErrNotSupported) {
					t.Error(err)
				}
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, rw)
		}), nil)
		client := s.client(t, proto)
		resp, err := client.Get(s.url("/file"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || len(got) != len(content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		req, _ := http.NewRequest("GET", s.url("/hijack"), nil)
		if proto == "h1" {
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
		}
		if resp, err = client.Do(req); err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if rw, ok := resp.Body.(io.ReadWriteCloser); ok && proto == "h1" {
			io.WriteString(rw, "ping")
			buf := make([]byte, 4)
			if _, err := io.ReadFull(rw, buf); err != nil || string(buf) != "ping" {
				t.Errorf("%q, %v", buf, err)
			}
		}
	})
}
