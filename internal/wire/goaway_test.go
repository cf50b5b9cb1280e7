package wire_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })

// ways are the configurations in which GOAWAY has to work.
func ways(t *testing.T) map[string]wire.Config {
	return map[string]wire.Config{
		"alone":             {GoAway: true},
		"batched":           {GoAway: true, Batch: true},
		"batched, over TLS": secured(t, all()),
	}
}

func TestDrainLetsStreamsInThatCrossItsGoAway(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, cfg, hello, nil)
			p := s.peer(t)
			p.send(get(1, "/"))
			p.answered(1)
			s.l.Drain() // while nothing is being written
			if last, code := p.until(tGoAway).goAway(); last != maxStream || code != noError {
				t.Errorf("GOAWAY(%d, %d)", last, code)
			}
			p.send(get(3, "/"))
			if body := p.answered(3); string(body) != "hello" {
				t.Errorf("%q", body)
			}
			go s.Shutdown(t.Context())
			var gone []frame
			for _, f := range p.rest() {
				if f.kind == tGoAway {
					gone = append(gone, f)
				}
			}
			if len(gone) != 1 {
				t.Fatalf("%d more GOAWAY frames", len(gone))
			}
			if last, _ := gone[0].goAway(); last != 3 {
				t.Errorf("the last stream was said to be %d", last)
			}
		})
	}
}

// The control of the test above: what net/http does by itself.
func TestShutdownAloneLosesAStreamThatCrossesIt(t *testing.T) {
	t.Parallel()
	s := serve(t, all(), hello, nil)
	p := s.peer(t)
	p.send(get(1, "/"))
	p.answered(1)
	go s.Shutdown(t.Context())
	if last, _ := p.until(tGoAway).goAway(); last != 1 {
		t.Fatalf("GOAWAY(%d): net/http has changed", last)
	}
	p.send(get(3, "/"))
	for _, f := range p.rest() {
		if f.stream == 3 {
			t.Fatal("net/http has changed: it answers streams above the last one")
		}
	}
}

func TestDrainWaitsForNetHTTPsSettingsAndForAnAnswer(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, cfg, hello, nil)
			s.l.Drain()
			p := s.peer(t) // fails if the first frame is not SETTINGS
			p.send(frame{kind: tPing, payload: make([]byte, 8)})
			if f := p.until(tPing); f.flags != ack {
				t.Fatal(f)
			}
			p.send(get(1, "/"))
			var kinds []byte
			for len(kinds) < 3 {
				f, err := p.next()
				if err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, f.kind)
			}
			if kinds[0] != tHeaders || !strings.Contains(string(kinds), string([]byte{tGoAway})) {
				t.Errorf("frames of types %v", kinds)
			}
		})
	}
}

func TestGoAwayNeverStandsInsideAHeaderBlock(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 50<<10)
	for name, cfg := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocks := 0
			for range 12 {
				start := make(chan struct{})
				s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-start
					w.Header().Set("Large", large)
				}), nil)
				p := s.peer(t)
				const streams = 20
				for i := range uint32(streams) {
					p.send(get(2*i+1, "/"))
				}
				go close(start)
				go s.l.Drain()
				var open uint32 // the stream whose header block is open
				for told, ended := 0, 0; told == 0 || ended < streams; {
					f, err := p.next()
					if err != nil {
						t.Fatal(err)
					}
					if open != 0 && (f.kind != tContinuation || f.stream != open) {
						t.Fatalf("a frame of type %d stands in a header block", f.kind)
					}
					switch f.kind {
					case tGoAway:
						told++
					case tHeaders, tContinuation:
						if open = f.stream; f.flags&endHeaders != 0 {
							open = 0
						} else {
							blocks++
						}
						if f.kind == tHeaders && f.flags&endStream != 0 {
							ended++
						}
					case tData:
						ended += int(f.flags & endStream)
					}
				}
			}
			if blocks == 0 {
				t.Error("no answer needed a CONTINUATION: the test proves nothing")
			}
		})
	}
}

// fleet is what clients see of a service whose replicas come and go.
type fleet struct {
	mu     sync.Mutex
	addr   string           // of the present replica
	dialed map[string]int64 // connections to each, or attempts at one
	now    int              // attempts under way
}

func (f *fleet) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	f.mu.Lock()
	addr := f.addr
	f.dialed[addr]++
	f.now++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// left reports whether nobody is connected to s, or about to be: what a drain
// delay is there for.
func (f *fleet) left(s *server) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := s.l.Stats()
	return f.addr != s.addr && f.now == 0 && st.Accepted == f.dialed[s.addr] && st.Open == 0
}

func (f *fleet) client(t *testing.T) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: f.dial}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// once is a request body that cannot be sent twice, as those of streams.
type once struct {
	io.Reader
	read bool
}

func (o *once) Read(p []byte) (int, error) {
	o.read = true
	return o.Reader.Read(p)
}

// call sends a message and wants it back. If the client is told to leave between
// choosing a connection and using it, net/http closes the body it has not sent,
// and fails (golang/go#62450): nothing of such a call has reached any server, so
// it is made again.
func call(client *http.Client) error {
	for {
		body := &once{Reader: strings.NewReader("message")}
		req, _ := http.NewRequest("POST", "http://wire.test/", io.NopCloser(body))
		resp, err := client.Do(req)
		if err != nil && !body.read {
			continue
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err == nil && string(got) != "message" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	}
}

// restarts replaces a server under load n times, and returns how many calls
// there were and how many failed.
func restarts(t *testing.T, n int, stop func(*fleet, *server)) (calls, failed int64) {
	f := fleet{dialed: make(map[string]int64)}
	start := func() *server {
		s := serve(t, all(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		}), nil)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.addr = s.addr
		return s
	}
	s := start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all, bad atomic.Int64
	var first sync.Once
	var wg sync.WaitGroup
	for range 4 {
		client := f.client(t)
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					err := call(client)
					if all.Add(1); err != nil {
						bad.Add(1)
						first.Do(func() { t.Log(err) })
					}
				}
			})
		}
	}
	for range n {
		before := all.Load()
		eventually(t, "the server is under load", func() bool { return all.Load() >= before+50 })
		old := s
		s = start()
		stop(&f, old)
	}
	cancel()
	wg.Wait()
	return all.Load(), bad.Load()
}

func TestRestartsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	calls, failed := restarts(t, 6, func(f *fleet, s *server) {
		s.l.Drain()
		s.l.CloseIdle(250 * time.Millisecond)
		eventually(t, "the clients have moved on", func() bool { return f.left(s) })
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if t.Logf("%d calls", calls); failed > 0 {
		t.Errorf("%d of %d calls failed", failed, calls)
	}
}

// The control of the test above.
func TestRestartsByShutdownAloneLoseCalls(t *testing.T) {
	t.Parallel()
	for range 20 {
		calls, failed := restarts(t, 5, func(_ *fleet, s *server) { s.Shutdown(context.Background()) })
		if failed > 0 {
			t.Logf("%d of %d calls failed, as they should", failed, calls)
			return
		}
	}
	t.Error("nothing was lost: the test above proves nothing")
}

func TestInFlightStreamsEndWellWhileDraining(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := serve(t, all(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < 100 && r.URL.Path == "/stream"; i++ {
			fmt.Fprintln(w, i)
			http.NewResponseController(w).Flush()
			if i == 50 {
				<-goOn
			}
		}
	}), nil)
	client := s.client(t, "h2")
	resp, err := client.Get(s.url("/stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.l.Drain()
	eventually(t, "the client moves on", func() bool {
		other, err := client.Get(s.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		other.Body.Close()
		return s.l.Stats().Accepted > 1
	})
	close(goOn)
	if body, err := io.ReadAll(resp.Body); err != nil || strings.Count(string(body), "\n") != 100 {
		t.Errorf("%d lines, %v", strings.Count(string(body), "\n"), err)
	}
}

func TestDrainTellsHTTP1ByConnectionClose(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		s := serve(t, cfg, hello, nil)
		client := s.client(t, proto)
		for _, draining := range []bool{false, true} {
			if draining {
				s.l.Drain()
			}
			resp, err := client.Get(s.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if want := draining && proto == "h1"; resp.Close != want {
				t.Errorf("draining %v: Connection: close %v", draining, resp.Close)
			}
		}
	})
}

func TestAnOldConnectionIsAskedToLeave(t *testing.T) {
	t.Parallel()
	cfg := all()
	cfg.MaxAge, cfg.AgeJitter = 50*time.Millisecond, 0.1
	s := serve(t, cfg, hello, nil)
	p := s.peer(t)
	if last, code := p.until(tGoAway).goAway(); last != maxStream || code != noError {
		t.Errorf("GOAWAY(%d, %d)", last, code)
	}
	p.send(get(1, "/"))
	p.answered(1)

	client := s.client(t, "h1")
	eventually(t, "an old HTTP/1.1 connection is told", func() bool {
		resp, err := client.Get(s.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.Close
	})
}
