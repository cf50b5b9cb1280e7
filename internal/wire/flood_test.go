package wire_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

// floods are what a client sends over and over; i counts from 0.
var floods = map[string]func(i uint32) []frame{
	"rapid reset": func(i uint32) []frame {
		return []frame{get(2*i+1, "/"), {kind: tReset, stream: 2*i + 1, payload: []byte{0, 0, 0, 8}}}
	},
	"reset of a closed stream": func(i uint32) []frame {
		if i == 0 {
			return []frame{get(1, "/")}
		}
		return []frame{{kind: tReset, stream: 1, payload: []byte{0, 0, 0, 8}}}
	},
	"PING":     func(uint32) []frame { return []frame{{kind: tPing, payload: make([]byte, 8)}} },
	"SETTINGS": func(uint32) []frame { return []frame{{kind: tSettings}} },
	"PRIORITY": func(uint32) []frame { return []frame{{kind: tPriority, stream: 1, payload: make([]byte, 5)}} },
	"unknown":  func(uint32) []frame { return []frame{{kind: 0xfa}} },
	"WINDOW_UPDATE": func(uint32) []frame {
		return []frame{{kind: tWindow, payload: []byte{0, 0, 0, 1}}}
	},
	"empty DATA": func(i uint32) []frame {
		if i == 0 {
			return []frame{post(1, "/upload")}
		}
		return []frame{{kind: tData, stream: 1}}
	},
	"empty DATA that ends a stream again": func(i uint32) []frame {
		if i == 0 {
			return []frame{get(1, "/")}
		}
		return []frame{{kind: tData, flags: endStream, stream: 1}}
	},
	"padded empty DATA": func(i uint32) []frame {
		if i == 0 {
			return []frame{post(1, "/upload")}
		}
		return []frame{{kind: tData, flags: 8, stream: 1, payload: []byte{2, 0, 0}}}
	},
	"empty CONTINUATION": func(i uint32) []frame {
		if i == 0 {
			f := get(1, "/")
			f.flags = endStream
			return []frame{f}
		}
		return []frame{{kind: tContinuation, stream: 1}}
	},
}

// post is get without the end of the stream.
func post(stream uint32, path string) frame {
	f := get(stream, path)
	f.flags = endHeaders
	return f
}

// attack floods s until it is cut or has sent so many rounds, and returns how many
// that were and what it was told.
func attack(t *testing.T, s *server, round func(uint32) []frame, rounds uint32) (sent uint32, told []frame) {
	p := s.peer(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; sent < rounds; sent++ {
			if p.send(round(sent)...) != nil {
				break
			}
		}
		if sent == rounds {
			p.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // it was let
		}
	}()
	for {
		f, err := p.next()
		if err != nil {
			break
		}
		told = append(told, f)
	}
	within(t, "the attacker ends", done)
	return sent, told
}

func calmed(frames []frame) bool {
	for _, f := range frames {
		if f.kind == tGoAway {
			if _, code := f.goAway(); code == calm {
				return true
			}
		}
	}
	return false
}

// By the fake clock no time passes while a peer floods, so that it does not matter
// how fast it is.
func TestFloodsEndInEnhanceYourCalm(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]wire.Config{
		"":               all(),
		" over TLS":      secured(t, all()),
		" metered alone": {Meter: wire.DefaultMeter()},
	} {
		for kind, round := range floods {
			t.Run(kind+name, func(t *testing.T) {
				t.Parallel()
				var handled atomic.Int64
				bubble(t, cfg, flooded(&handled), nil, func(t *testing.T, s *server) {
					began := time.Now()
					sent, told := attack(t, s, round, 1<<20)
					t.Logf("cut after %d rounds", sent)
					if !calmed(told) {
						t.Errorf("%d frames, none of them ENHANCE_YOUR_CALM", len(told))
					}
					if n := len(told); n > 1000 {
						t.Errorf("%d frames were answered", n)
					}
					if n := handled.Load(); n > 250 {
						t.Errorf("%d handlers ran", n)
					}
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("the connection was open for %v", took)
					}
					events := s.seen(wire.Flood)
					if len(events) != 1 || !errors.Is(events[0].Err, wire.ErrFlood) || events[0].Peer == nil {
						t.Errorf("events: %v", events)
					}
				})
			})
		}
	}
}

func flooded(handled *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		handled.Add(1)
		io.Copy(io.Discard, r.Body)
	})
}

// Over a socket a flood is cut as well. What its peer is told may be lost there, in
// the reset that it earns by going on to send.
func TestFloodsOverSocketsAreCut(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]wire.Config{"plaintext": all(), "TLS": secured(t, all())} {
		for kind, round := range floods {
			t.Run(kind+" over "+name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, cfg, flooded(new(atomic.Int64)), nil)
				before := cpu()
				sent, told := attack(t, s, round, 1<<20)
				t.Logf("cut after %d rounds, told ENHANCE_YOUR_CALM: %v, %v of CPU in all tests", sent, calmed(told), cpu()-before)
				if events := s.seen(wire.Flood); len(events) != 1 {
					t.Errorf("events: %v", events)
				}
			})
		}
	}
}

// The control of the test above: what net/http does by itself.
func TestFloodsAreNotCutWithoutAMeter(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PING", "SETTINGS", "PRIORITY", "unknown", "WINDOW_UPDATE", "empty DATA", "empty CONTINUATION"} {
		s := serve(t, wire.Config{Batch: true, GoAway: true}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
		}), nil)
		if sent, told := attack(t, s, floods[kind], 2000); sent != 2000 || calmed(told) {
			t.Errorf("%s: cut after %d rounds: net/http has changed", kind, sent)
		}
	}
}

func TestHonestClientsAreNotCut(t *testing.T) {
	t.Parallel()
	s := serve(t, all(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		w.Write(make([]byte, 100))
	}), nil)

	t.Run("calls and fewer cancellations", func(t *testing.T) {
		client := s.client(t, "h2")
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := range 120 {
					ctx, cancel := context.WithCancel(t.Context())
					path := "/"
					if i%3 == 0 {
						path = "/slow"
						go cancel()
					}
					req, _ := http.NewRequestWithContext(ctx, "GET", s.url(path), nil)
					resp, err := client.Do(req)
					if err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					if path == "/" && err != nil {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
	})

	t.Run("a PING after every answer", func(t *testing.T) { // as grpc-go sizes its windows
		p := s.peer(t)
		for i := range uint32(300) {
			p.send(get(2*i+1, "/"))
			p.answered(2*i + 1)
			p.send(frame{kind: tPing, payload: make([]byte, 8)})
			if f := p.until(tPing); f.flags != ack {
				t.Fatal(f)
			}
		}
	})

	t.Run("PRIORITY and WINDOW_UPDATE with every call", func(t *testing.T) { // as browsers do
		p := s.peer(t)
		for i := range uint32(600) {
			p.send(frame{kind: tPriority, stream: 2*i + 1, payload: make([]byte, 5)}, get(2*i+1, "/"),
				frame{kind: tWindow, payload: []byte{0, 0, 0, 100}})
			p.answered(2*i + 1)
			p.send(frame{kind: tWindow, payload: []byte{0, 0, 0, 100}})
		}
	})

	if events := s.seen(wire.Flood); len(events) != 0 {
		t.Errorf("cut: %v", events)
	}
}
