package connectum_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Faults 1b and 1c: more of something than a server wants.

// held is a service whose streams wait for their end, and how many do.
func held(running *atomic.Int64) func(v *victim) testservice.Service {
	return func(*victim) testservice.Service {
		return testservice.Service{OnChat: func(ctx context.Context, _ testv1connect.TestServiceChatServerStream) error {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}}
	}
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ limit, want int }{{0, 100}, {7, 7}} {
		var running atomic.Int64
		cfg := connectum.Config{Limits: connectum.Limits{MaxConcurrentStreams: test.limit}}
		attacked(t, cfg, held(&running), func(v *victim) {
			p := attack.HTTP2(v.t, v.dial(), 1<<20)
			p.Acknowledge()
			for i := range uint32(150) {
				if err := p.Send(attack.Post(1+2*i, chatPath, "application/grpc+proto")); err != nil {
					v.t.Fatal(err)
				}
			}
			refused := 0
			for refused < 150-test.want {
				f, err := p.Until(attack.Reset)
				if code := f.Code(); err != nil || code != attack.RefusedStream && code != attack.ProtocolError { // who knows the limit breaks the protocol
					v.t.Fatalf("stream %d: code %d, %v, want it refused", f.Stream, code, err)
				}
				refused++
			}
			synctest.Wait()
			if n := running.Load(); n != int64(test.want) {
				t.Errorf("%d handlers run, want %d", n, test.want)
			}
			_ = p.Close()
			synctest.Wait()
		})
	}
}

// Floods are internal/wire's to find; the root turns its meter on.
func TestFloodsOfFramesEndTheConnection(t *testing.T) {
	t.Parallel()
	ping := attack.Frame{Kind: attack.Ping, Payload: make([]byte, 8)}
	open := func(i uint32) []attack.Frame {
		return []attack.Frame{attack.Post(1+2*i, chatPath, "application/grpc+proto"),
			{Kind: attack.Reset, Stream: 1 + 2*i, Payload: []byte{0, 0, 0, attack.Cancel}}}
	}
	for name, flood := range map[string]func(i uint32) []attack.Frame{
		"pings":           func(uint32) []attack.Frame { return []attack.Frame{ping} },
		"settings":        func(uint32) []attack.Frame { return []attack.Frame{{Kind: attack.Settings}} },
		"resets":          open,
		"empty fragments": func(uint32) []attack.Frame { return []attack.Frame{{Kind: attack.Data, Stream: 1}} },
		"empty continuations": func(i uint32) []attack.Frame {
			if i == 0 {
				f := attack.Post(1, chatPath, "application/grpc+proto")
				f.Flags = 0 // more of the block follows
				return []attack.Frame{f}
			}
			return []attack.Frame{{Kind: attack.Continuation, Stream: 1}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var running atomic.Int64
			attacked(t, connectum.Config{}, held(&running), func(v *victim) {
				p := attack.HTTP2(v.t, v.dial(), 1<<20)
				p.Acknowledge()
				synctest.Wait() // nothing may come before the server's settings, GOAWAY neither
				if name == "empty fragments" {
					_ = p.Send(attack.Post(1, chatPath, "application/grpc+proto"))
				}
				go func() {
					for i := range uint32(2000) {
						if p.Send(flood(i)...) != nil {
							return
						}
					}
				}()
				if f, err := p.Until(attack.GoAway); err != nil || f.Code() != attack.Calm {
					t.Errorf("code %d, %v, want ENHANCE_YOUR_CALM", f.Code(), err)
				}
				if n := running.Load(); n > 100 {
					t.Errorf("%d handlers run", n)
				}
				_ = p.Close()
			})
		})
	}
}

// What a peer may send ahead of the handlers is bounded by stream and by
// connection: beyond it the peer breaks the protocol.
func TestDataBeyondTheWindowsIsRefused(t *testing.T) {
	t.Parallel()
	const chunk = 16 << 10
	for _, test := range []struct {
		name    string
		limits  connectum.Limits
		streams int
		want    int // bytes
	}{
		{"one stream", connectum.Limits{}, 1, 256 << 10},
		{"many streams", connectum.Limits{}, 100, 1 << 20},
		{"one stream, less", connectum.Limits{StreamBuffer: 64 << 10}, 1, 64 << 10},
		{"many streams, less", connectum.Limits{ConnBuffer: 512 << 10}, 100, 512 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var running atomic.Int64
			attacked(t, connectum.Config{Limits: test.limits}, held(&running), func(v *victim) {
				p := attack.HTTP2(v.t, v.dial(), 1<<20)
				p.Acknowledge()
				refusal := make(chan attack.Frame, 1)
				go func() {
					for {
						f, err := p.Next()
						if err != nil || f.Kind == attack.Reset || f.Kind == attack.GoAway {
							refusal <- f
							return
						}
					}
				}()
				for i := range uint32(test.streams) {
					_ = p.Send(attack.Post(1+2*i, chatPath, "application/grpc+proto"))
				}
				synctest.Wait()
				taken, data := 0, make([]byte, chunk)
				for i := 0; len(refusal) == 0 && taken < 8<<20; i++ {
					_ = p.Send(attack.Frame{Kind: attack.Data, Stream: uint32(1 + 2*(i%test.streams)), Payload: data})
					synctest.Wait()
					if len(refusal) == 0 {
						taken += chunk
					}
				}
				if f := <-refusal; f.Code() != attack.FlowControl || taken != test.want {
					t.Errorf("after %d bytes: frame %d with code %d, want FLOW_CONTROL_ERROR after %d", taken, f.Kind, f.Code(), test.want)
				}
				_ = p.Close()
			})
		})
	}
}

func TestConnectionsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	const limit = 10
	cfg := connectum.Config{Limits: connectum.Limits{MaxConns: limit}}
	// Idle ones make room, the longest idle first. The client that behaves has one
	// of the ten, which is used all the time.
	attacked(t, cfg, usual, func(v *victim) {
		var idle []net.Conn
		for range limit + 5 {
			c := v.dial()
			_, _ = io.WriteString(c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
			idle = append(idle, c)
			time.Sleep(time.Second)
		}
		for i, c := range idle {
			if open, want := isOpen(c), i >= len(idle)-(limit-1); open != want {
				t.Errorf("idle connection %d of %d is open: %v, want %v", i+1, len(idle), open, want)
			}
		}
	})
	// Busy ones do not: further ones are refused, at once, whoever they are.
	underAttack(t, cfg, usual, func(v *victim) {
		var busy []net.Conn
		for range limit {
			c := v.dial()
			_, _ = io.WriteString(c, "POST "+sumPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: 100\r\n\r\n")
			busy = append(busy, c)
			synctest.Wait()
		}
		for range 5 {
			if took := closedAfter(v.dial()); took > 0 {
				t.Errorf("a connection too many was held for %v", took)
			}
		}
		for i, c := range busy {
			if !isOpen(c) {
				t.Errorf("busy connection %d was cut", i+1)
			}
			_ = c.Close()
		}
		synctest.Wait()
	})
}

// isOpen reads what there is on c.
func isOpen(c net.Conn) bool {
	synctest.Wait()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, c)
	return isTimeout(err)
}

func TestOldConnectionsAreAskedToLeave(t *testing.T) {
	t.Parallel()
	var running atomic.Int64
	cfg := connectum.Config{Limits: connectum.Limits{MaxConnectionAge: time.Minute, AgeJitter: 0.5}}
	attacked(t, cfg, held(&running), func(v *victim) {
		const peers = 20
		ages := make(chan time.Duration, peers)
		for range peers {
			p := attack.HTTP2(v.t, v.dial(), 1<<20)
			p.Acknowledge()
			_ = p.Send(attack.Post(1, chatPath, "application/grpc+proto"))
			began := time.Now()
			go func() {
				ages <- p.Leave(began)
				_ = p.Leave(began) // until it is closed
			}()
			defer p.Close()
		}
		shortest, longest := time.Hour, time.Duration(0)
		for range peers {
			age := <-ages
			shortest, longest = min(shortest, age), max(longest, age)
		}
		if shortest < 30*time.Second || longest > 90*time.Second || longest-shortest < 10*time.Second {
			t.Errorf("asked to leave between %v and %v, want 1m, half more or less", shortest, longest)
		}
		if n := running.Load(); n != peers {
			t.Errorf("%d of %d streams go on: asking is all", n, peers)
		}
	})
	// The control: by default nobody is asked.
	attacked(t, connectum.Config{}, held(&running), func(v *victim) {
		p, began := attack.HTTP2(v.t, v.dial(), 1<<20), time.Now()
		p.Acknowledge()
		_ = p.Send(attack.Post(1, chatPath, "application/grpc+proto"))
		go func() { time.Sleep(5 * time.Minute); _ = p.Close() }()
		if age := p.Leave(began); age < 5*time.Minute {
			t.Errorf("asked to leave after %v", age)
		}
	})
}

// Large messages at once: each is within its limit, together they are not.
func TestLargeMessagesAtOnceAreBoundedByDefault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		d      dialect
		size   int
		within int // of so many at once
	}{
		{handmade[0], 4<<20 - 10, 2}, // 64 MiB / (4 MiB × 8)
		{handmade[1], 1 << 20, 4},    // 64 MiB / (1 MiB × 16)
	} {
		svc := func(*victim) testservice.Service {
			return testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				time.Sleep(time.Second)
				return &testv1.EchoResponse{}, nil
			}}
		}
		attacked(t, connectum.Config{}, svc, func(v *victim) {
			body := []byte(`{"text":"` + strings.Repeat("x", test.size-20) + `"}`)
			if test.d.contentType == "application/proto" {
				body = echoRequest(v.t, test.size-20)
			}
			calls := test.within + 2
			client, codes := v.http(true), make(chan string, calls)
			for range calls {
				go func() {
					codes <- test.d.send(v.t, client, "http://localhost", echoPath, nil, bytes.NewReader(body)).code
				}()
			}
			got := map[string]int{}
			for range calls {
				got[<-codes]++
			}
			if got[""] != test.within || got["resource_exhausted"] != calls-test.within {
				t.Errorf("%s: %v, want %d within the budget", test.d.name, got, test.within)
			}
		})
	}
}

func TestSmallAnswersAreNotCompressed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit, size int
		want        bool
	}{{0, 1000, false}, {0, 1100, true}, {-1, 10, true}, {100, 80, false}, {100, 150, true}} {
		attacked(t, connectum.Config{Limits: connectum.Limits{CompressMinBytes: test.limit}}, usual, func(v *victim) {
			got := handmade[1].send(v.t, v.http(true), "http://localhost", echoPath, map[string]string{"Accept-Encoding": "gzip"},
				strings.NewReader(`{"text":"`+strings.Repeat("x", test.size)+`"}`))
			if compressed := strings.Contains(got.wire, "Content-Encoding: gzip"); compressed != test.want {
				t.Errorf("CompressMinBytes %d, %d bytes: compressed %v, want %v", test.limit, test.size, compressed, test.want)
			}
		})
	}
}

// Every field of ProcedureLimits, on one method and not on the others.
func TestEachLimitOfAProcedureIsHeld(t *testing.T) {
	t.Parallel()
	const procedure = "connectum.test.v1.TestService/Echo"
	large := strings.Repeat("x", 2000)
	echo := func(v *victim, request *testv1.EchoRequest, opts ...connecthttp.Option) error {
		client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(v.http(true), "http://localhost", opts...)))
		_, err := client.Echo(context.Background(), request)
		return err
	}
	get := func(v *victim, opts ...connecthttp.Option) error {
		client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(v.http(true), "http://localhost", opts...)))
		_, err := client.Get(context.Background(), &testv1.GetRequest{Text: large})
		return err
	}
	for _, test := range []struct {
		name   string
		limits connectum.ProcedureLimits
		opts   []connecthttp.Option
	}{
		{"MaxReceiveBytes", connectum.ProcedureLimits{MaxReceiveBytes: 1000}, nil},
		{"MaxJSONBytes", connectum.ProcedureLimits{MaxJSONBytes: 1000}, []connecthttp.Option{connecthttp.WithProtoJSON()}},
		{"MaxSendBytes", connectum.ProcedureLimits{MaxSendBytes: 1000}, []connecthttp.Option{connecthttp.WithCompressors()}},
	} {
		cfg := connectum.Config{Limits: connectum.Limits{PerProcedure: map[string]connectum.ProcedureLimits{procedure: test.limits}}}
		attacked(t, cfg, usual, func(v *victim) {
			if err := echo(v, &testv1.EchoRequest{Text: large}, test.opts...); connect.CodeOf(err) != connect.CodeResourceExhausted {
				t.Errorf("%s: %v, want resource_exhausted", test.name, err)
			}
			if err := get(v, test.opts...); err != nil {
				t.Errorf("%s: another procedure: %v", test.name, err)
			}
		})
	}
	// And the general limit is lifted for one procedure.
	cfg := connectum.Config{Limits: connectum.Limits{MaxReceiveBytes: 1000, PerProcedure: map[string]connectum.ProcedureLimits{procedure: {MaxReceiveBytes: -1}}}}
	attacked(t, cfg, usual, func(v *victim) {
		if err := echo(v, &testv1.EchoRequest{Text: large}); err != nil {
			t.Errorf("without a limit: %v", err)
		}
		if err := get(v); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("another procedure: %v, want resource_exhausted", err)
		}
	})
	stalls := map[string]connectum.ProcedureLimits{
		"connectum.test.v1.TestService/Sum":   {ReadStall: 3 * time.Second}, // client streams have none by default
		"connectum.test.v1.TestService/Count": {WriteStall: 4 * time.Second},
		"connectum.test.v1.TestService/Chat":  {Timeout: 5 * time.Second},
	}
	cfg = connectum.Config{Limits: connectum.Limits{PerProcedure: stalls}}
	var running atomic.Int64
	attacked(t, cfg, func(v *victim) testservice.Service {
		svc := held(&running)(v)
		svc.OnCount = flood(v).OnCount
		return svc
	}, func(v *victim) {
		p := attack.HTTP2(v.t, v.dial(), 0)
		p.Acknowledge()
		go p.Leave(time.Now())
		for i, path := range []string{sumPath, countPath, chatPath} {
			began, stream := time.Now(), uint32(1+2*i)
			_ = p.Send(attack.Post(stream, path, "application/grpc+proto"))
			if path == countPath {
				_ = p.Send(attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream, Payload: countBody(t)})
			}
			synctest.Wait()
			for v.InFlight() > 0 && time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			want := time.Duration(3+i) * time.Second
			if took := time.Since(began); took < want || took > want+time.Second {
				t.Errorf("%s was held for %v, want %v", path, took, want)
			}
		}
	})
}
