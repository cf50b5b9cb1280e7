package wire_test

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

func newLogger(b *strings.Builder) *log.Logger { return log.New(b, "", 0) }

// ask sends an HTTP/1.1 request on c and reads the answer.
func ask(t *testing.T, c net.Conn, path string) {
	t.Helper()
	io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: wire.test\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
}

func idle(t *testing.T, s *server, n int) {
	t.Helper()
	eventually(t, "connections are idle", func() bool { return s.l.Stats().Idle == n })
}

func TestAFullServerClosesTheLongestIdleConnection(t *testing.T) {
	t.Parallel()
	cfg := all()
	cfg.MaxConns = 2
	s := serve(t, cfg, hello, nil)
	oldest := tcp(t, s)
	ask(t, oldest, "/")
	idle(t, s, 1)
	second := s.peer(t)
	second.send(get(1, "/"))
	second.answered(1)
	idle(t, s, 2)

	third := tcp(t, s)
	ask(t, third, "/")
	ended(t, oldest)
	idle(t, s, 2)

	fourth := tcp(t, s)
	ask(t, fourth, "/")
	frames := second.rest() // the HTTP/2 one is told where it ended
	if len(frames) != 1 || frames[0].kind != tGoAway {
		t.Fatalf("frames: %v", frames)
	}
	if last, code := frames[0].goAway(); last != 1 || code != noError {
		t.Errorf("GOAWAY(%d, %d)", last, code)
	}
	if st := s.l.Stats(); st.Evicted != 2 || st.Refused != 0 || st.Open != 2 || st.Accepted != 4 {
		t.Errorf("%+v", st)
	}
}

func TestAFullServerWithoutAnIdleConnectionRefuses(t *testing.T) {
	t.Parallel()
	cfg := all()
	cfg.MaxConns = 1
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, cfg, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-goOn
	}), nil)
	busy := tcp(t, s)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		ask(t, busy, "/")
	}()
	<-entered
	ended(t, tcp(t, s))
	close(goOn)
	<-answered
	if events := s.seen(wire.Full); len(events) != 1 || s.l.Stats().Refused != 1 {
		t.Errorf("events: %v", events)
	}
}

func TestStatsCountByState(t *testing.T) {
	t.Parallel()
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, all(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			entered <- struct{}{}
			<-goOn
		}
	}), nil)
	tcp(t, s) // silent
	ask(t, tcp(t, s), "/")
	p := s.peer(t)
	p.send(get(1, "/busy"))
	<-entered
	want := wire.Stats{Open: 3, New: 1, Idle: 1, Active: 1, HTTP2: 1, Accepted: 3}
	eventually(t, "the figures are right", func() bool { return s.l.Stats() == want })
	close(goOn)
	p.answered(1)
	p.Close()
	eventually(t, "a closed one leaves the register", func() bool { return s.l.Stats().Open == 2 })
}

func TestSilentConnectionsDoNotHoldShutdown(t *testing.T) {
	t.Parallel()
	for name, closeNew := range map[string]bool{"with CloseNew": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, all(), hello, func(s *http.Server) { s.ReadHeaderTimeout = time.Hour })
			silent := tcp(t, s)
			eventually(t, "it is accepted", func() bool { return s.l.Stats().New == 1 })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if closeNew {
				s.l.CloseNew(50 * time.Millisecond)
				ended(t, silent)
			} else {
				cancel() // net/http waits five seconds; no need to see them pass
			}
			if err := s.Shutdown(ctx); (err == nil) != closeNew {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

func TestCloseNewSparesARequestUnderWay(t *testing.T) {
	t.Parallel()
	s := serve(t, all(), hello, nil)
	c := tcp(t, s)
	io.WriteString(c, "GET / HTT")
	eventually(t, "it is accepted", func() bool { return s.l.Stats().New == 1 })
	silent := tcp(t, s)
	s.l.CloseNew(100 * time.Millisecond)
	ended(t, silent)
	io.WriteString(c, "P/1.1\r\nHost: wire.test\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Error(err)
	}
}

// golang/go#81153: Shutdown tells the HTTP/2 connections there are; one that
// becomes such a connection later holds it for ever.
func TestAConnectionThatTurnsToHTTP2DuringShutdownDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	for name, closeIdle := range map[string]bool{"with CloseIdle": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, all(), hello, nil)
			p := &peer{tcp(t, s), t}
			p.SetDeadline(time.Now().Add(10 * time.Second))
			eventually(t, "it is accepted", func() bool { return s.l.Stats().New == 1 })
			told := make(chan struct{})
			s.RegisterOnShutdown(func() { close(told) })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(ctx) }()
			<-told
			p.begin()
			if idle(t, s, 1); !closeIdle {
				tick := time.NewTimer(1500 * time.Millisecond) // more than net/http lingers
				defer tick.Stop()
				select {
				case <-done:
					t.Error("net/http has changed: CloseIdle may go")
				case <-tick.C:
				}
				return
			}
			s.l.CloseIdle(100 * time.Millisecond)
			if err := within(t, "Shutdown returns", done); err != nil {
				t.Error(err)
			}
			var gone []uint32
			for _, f := range p.rest() {
				if f.kind == tGoAway {
					last, _ := f.goAway()
					gone = append(gone, last)
				}
			}
			if !slices.Equal(gone, []uint32{maxStream, 0}) {
				t.Errorf("GOAWAY frames with %d", gone)
			}
		})
	}
}

func TestCloseIdleSparesTheBusy(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		entered, goOn := make(chan struct{}), make(chan struct{})
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-goOn
			io.WriteString(w, "late")
		}), nil)
		client := s.client(t, proto)
		body := make(chan string, 1)
		go func() {
			resp, err := client.Get(s.url("/"))
			if err != nil {
				body <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			body <- string(b)
		}()
		<-entered
		s.l.CloseIdle(100 * time.Millisecond)
		silent := tcp(t, s) // New, not idle
		<-time.After(300 * time.Millisecond)
		close(goOn)
		if got := within(t, "the answer", body); got != "late" {
			t.Errorf("%q", got)
		}
		eventually(t, "it is closed when idle", func() bool { return s.l.Stats().Open == 1 })
		silent.Close()
	})
}

// A client that is slow to read that it is to leave may use its connection once
// more: that is not closed before the client has acknowledged what it read. Who
// never does has two seconds.
func TestCloseIdleWaitsUntilTheGoAwayIsRead(t *testing.T) {
	t.Parallel()
	const grace = 250 * time.Millisecond
	for name, cfg := range ways(t) {
		for _, test := range []struct {
			name        string
			reads       time.Duration // when it reads, and acknowledges
			least, most time.Duration // when the connection ends
		}{
			{"at once", 0, grace, 2 * grace},
			{"late", 1500 * time.Millisecond, 1500*time.Millisecond + grace, 1500*time.Millisecond + 2*grace},
			{"never", time.Hour, 2*time.Second + grace, 2*time.Second + 2*grace},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				bubble(t, cfg, hello, nil, func(t *testing.T, s *server) {
					p := s.peer(t)
					p.SetDeadline(time.Now().Add(2 * time.Hour))
					p.send(get(1, "/"))
					p.answered(1)
					time.Sleep(time.Second) // it is idle
					began := time.Now()
					s.l.Drain()
					s.l.CloseIdle(grace)
					time.Sleep(min(test.reads, 3*time.Second))
					if test.name == "never" {
						p.rest()
						if n := s.l.Stats().Open; n != 0 {
							t.Errorf("%d connections are open", n)
						}
						return
					}
					p.send(get(3, "/"))
					p.until(tGoAway)
					ping := p.until(tPing)
					p.send(frame{kind: tPing, flags: ack, payload: ping.payload})
					if body := p.answered(3); string(body) != "hello" {
						t.Errorf("%q", body)
					}
					p.rest()
					if took := time.Since(began); took < test.least || took > test.most {
						t.Errorf("the connection ended after %v", took)
					}
				})
			})
		}
	}
}

// A client that has not read yet that it is to leave may send one stream after the
// other. While the first is served its connection is not idle, and still nothing may
// be lost: net/http's own GOAWAY has to wait.
func TestShutdownWaitsUntilTheGoAwayIsRead(t *testing.T) {
	t.Parallel()
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		io.WriteString(w, "hello")
	})
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, cfg, slow, nil, func(t *testing.T, s *server) {
				p := s.peer(t)
				p.send(get(1, "/"))
				p.answered(1)
				time.Sleep(time.Second) // it is idle
				s.l.Drain()
				s.l.CloseIdle(250 * time.Millisecond)
				s.l.Settle()
				p.send(get(3, "/"))
				stopped := make(chan error, 1)
				go func() {
					for time.Sleep(50 * time.Millisecond); s.l.Waiting() > 0; time.Sleep(5 * time.Millisecond) {
					}
					stopped <- s.Shutdown(t.Context())
				}()
				time.Sleep(200 * time.Millisecond)
				p.send(get(5, "/"))
				for _, stream := range []uint32{3, 5} {
					if body := p.answered(stream); string(body) != "hello" {
						t.Errorf("stream %d: %q", stream, body)
					}
				}
				p.rest()
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestFromContextIsNilOutside(t *testing.T) {
	t.Parallel()
	if c := wire.FromContext(t.Context()); c != nil {
		t.Errorf("%v", c)
	}
}
