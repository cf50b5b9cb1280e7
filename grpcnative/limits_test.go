package grpcnative_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A request that stalls is ended alone, in words, at its limit and not before;
// the connection goes on.
func TestARequestThatStallsIsEndedAlone(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(p *peer){
		"no message": func(p *peer) { p.send(p.post(3, echoPath, grpcType)) },
		"half a frame": func(p *peer) {
			p.send(p.post(3, echoPath, grpcType), attack.Frame{Kind: attack.Data, Stream: 3, Payload: []byte{0, 0, 0, 0, 9, 1}})
		},
		"no end": func(p *peer) { p.send(p.post(3, echoPath, grpcType), message(3, 0, &testv1.EchoRequest{Text: "x"})) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underAttack(t, connectum.Config{}, native(), func(v *victim) {
				p := v.peer(1 << 20)
				p.call(1, getPath, &testv1.GetRequest{})
				p.end(1)
				began := time.Now()
				begin(p)
				e, _ := p.end(3)
				if took := time.Since(began); e.fields["grpc-status"] != "4" || e.fields["grpc-message"] != "the request stalled for 15s" || took < 15*time.Second || took > 16*time.Second {
					t.Errorf("after %v: %+v", took, e)
				}
				if n := v.InFlight(); n != 0 {
					t.Errorf("%d calls are in flight", n)
				}
				p.send(message(3, attack.EndStream, &testv1.EchoRequest{})) // too late
				p.call(5, getPath, &testv1.GetRequest{})
				if e, _ := p.end(5); e.fields["grpc-status"] != "0" {
					t.Errorf("the next call: %+v", e)
				}
				_ = p.Close()
				synctest.Wait()
			})
		})
	}
}

// One that comes slowly, but comes, is served.
func TestARequestThatComesSlowlyIsServed(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{Limits: connectum.Limits{Timeout: time.Hour}}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		whole := message(1, 0, &testv1.EchoRequest{Text: "slow"}).Payload
		p.send(p.post(1, echoPath, grpcType))
		for i := range whole {
			time.Sleep(10 * time.Second)
			p.send(attack.Frame{Kind: attack.Data, Stream: 1, Payload: whole[i : i+1]})
		}
		p.send(attack.Frame{Kind: attack.Data, Stream: 1, Flags: attack.EndStream})
		e, _ := p.end(1)
		if got := answer(t, e, new(testv1.EchoResponse)).GetText(); got != "slow" {
			t.Errorf("got %q", got)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// Handlers whose clients take nothing end at the limit, and their streams.
func TestAClientThatTakesNothingHoldsNoHandler(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, testservice.Service{}, func(v *victim) {
		p := v.peer(0) // no window at all
		const streams = 20
		for i := range uint32(streams) {
			p.call(1+2*i, countPath, &testv1.CountRequest{Count: 1000, Payload: make([]byte, 10_000)})
		}
		synctest.Wait()
		if n := v.InFlight(); n != streams {
			t.Errorf("%d calls are in flight, want %d: nothing is proven", n, streams)
		}
		for i := range uint32(streams) {
			if e, _ := p.end(1 + 2*i); !e.reset || e.code != attack.Cancel {
				t.Errorf("stream %d ended with %+v", 1+2*i, e)
			}
		}
		synctest.Wait()
		if n := v.InFlight(); n != 0 {
			t.Errorf("%d calls are in flight", n)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// Nor does it hold the answers of handlers that have returned: what is stuck is
// reset, what moves is not.
func TestAnswersThatNobodyTakesAreReset(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, testservice.Service{}, func(v *victim) {
		p := v.peer(0)
		req := &testv1.EchoRequest{Text: strings.Repeat("x", 1000)}
		p.call(1, echoPath, req)
		p.call(3, echoPath, req)
		synctest.Wait()
		if n := v.InFlight(); n != 0 {
			t.Errorf("%d calls in flight: their handlers should have returned", n)
		}
		began := time.Now()
		go func() {
			for range 10 { // a little now and then
				time.Sleep(10 * time.Second)
				_ = p.Send(attack.Frame{Kind: attack.Window, Stream: 3, Payload: []byte{0, 0, 0, 200}})
			}
		}()
		if e, _ := p.end(1); !e.reset || e.code != attack.Cancel || time.Since(began) > 17*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
		e, _ := p.end(3)
		if answer(t, e, new(testv1.EchoResponse)); time.Since(began) < 50*time.Second {
			t.Errorf("the whole answer came after %v: it was not slow", time.Since(began))
		}
		time.Sleep(time.Minute)
		_ = p.Close()
		synctest.Wait()
	})
}

// Of streams that are reset at once no more handlers run than streams are
// allowed, however many come; grpc-go alone has let 22 000 run.
func TestHandlersOfResetStreamsAreHeldToTheStreamLimit(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		var running, most atomic.Int64
		release := make(chan struct{})
		svc := testservice.Service{OnChat: func(ctx context.Context, _ testv1connect.TestServiceChatServerStream) error {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if deaf { // it does not look at its context
				<-release
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		underAttack(t, connectum.Config{}, svc, func(v *victim) {
			release = make(chan struct{}) // of the bubble
			p := v.peer(1 << 20)
			over := make(chan struct{})
			go func() {
				defer close(over)
				for i := range uint32(3000) {
					if p.Send(attack.Post(1+2*i, chatPath, grpcType),
						attack.Frame{Kind: attack.Reset, Stream: 1 + 2*i, Payload: []byte{0, 0, 0, attack.Cancel}}) != nil {
						return
					}
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
			synctest.Wait()
			if n := most.Load(); n == 0 || n > 100 {
				t.Errorf("deaf: %v: up to %d handlers ran at a time, want some and at most 100", deaf, n)
			}
			close(release)
			_ = p.Close()
			<-over
			synctest.Wait()
			if n := running.Load(); n != 0 {
				t.Errorf("%d handlers run after the connection has ended", n)
			}
		})
	}
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{Limits: connectum.Limits{MaxConcurrentStreams: 7}}, testservice.Service{}, func(v *victim) {
		p := v.peer(1 << 20)
		if f, err := p.Until(attack.Settings); err != nil {
			t.Error(err)
		} else if n, ok := f.Setting(3); !ok || n != 7 {
			t.Errorf("the first settings allow %d streams", n)
		}
		for i := range uint32(10) {
			p.send(p.post(1+2*i, chatPath, grpcType))
		}
		for i := range uint32(3) {
			if e, _ := p.end(15 + 2*i); !e.reset || e.code != attack.RefusedStream {
				t.Errorf("stream %d: %+v", 15+2*i, e)
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// The meter of the wire is under native connections too.
func TestFloodsOfFramesEndTheConnection(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		go func() {
			for range 2000 {
				if p.Send(attack.Frame{Kind: attack.Settings}) != nil {
					return
				}
			}
		}()
		if f, err := p.Until(attack.GoAway); err != nil || f.Code() != attack.Calm {
			t.Errorf("code %d, %v, want ENHANCE_YOUR_CALM", f.Code(), err)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// Times in which a peer may say nothing.
func TestPeersThatSayNothingAreCut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		say  string
		want time.Duration
	}{
		"not a byte":       {"", 5 * time.Second},
		"half a preface":   {"PRI * HTTP/2", 5 * time.Second},
		"half a header":    {"POST / HTTP/1.1\r\nHost:", 5 * time.Second},
		"a preface":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5 * time.Second},
		"SETTINGS":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 120 * time.Second},
		"half of a header": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x09\x01", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underAttack(t, connectum.Config{}, native(), func(v *victim) {
				c, err := v.memory.Dial(v.t.Context())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if _, err := io.WriteString(c, test.say); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, c)
				if took := time.Since(began); took < test.want || took > test.want+2*time.Second {
					t.Errorf("cut after %v, want %v", took, test.want)
				}
				_ = c.Close()
				synctest.Wait()
			})
		})
	}
}

// An idle connection is asked to leave, and one whose peer is dead is cut.
func TestIdleAndDeadConnectionsEnd(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		began := time.Now()
		answered := false
		for {
			f, err := p.Next()
			if err != nil {
				break
			}
			if f.Kind == attack.Ping && f.Flags&attack.Ack == 0 {
				answered = true
				_ = p.Send(attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: f.Payload})
			}
		}
		if took := time.Since(began); !answered || took < 120*time.Second || took > 130*time.Second {
			t.Errorf("an idle connection ended after %v, with a PING: %v", took, answered)
		}

		dead := v.peer(1 << 20)
		dead.send(dead.post(1, chatPath, grpcType))
		synctest.Wait()
		began = time.Now()
		for {
			if _, err := dead.Next(); err != nil { // no PING is answered
				break
			}
		}
		if took := time.Since(began); took < 45*time.Second || took > 50*time.Second {
			t.Errorf("a dead peer was cut after %v", took)
		}
		synctest.Wait()
		if n := v.InFlight(); n != 0 {
			t.Errorf("%d calls in flight", n)
		}
	})
}

// Sizes, at the limit and above, with the words of the other doors.
func TestSizesAreHeld(t *testing.T) {
	t.Parallel()
	cfg := connectum.Config{Limits: connectum.Limits{MaxReceiveBytes: 1000, MaxSendBytes: 2000,
		PerProcedure: map[string]connectum.ProcedureLimits{"connectum.test.v1.TestService/Get": {MaxReceiveBytes: 10}}}}
	underAttack(t, cfg, testservice.Service{}, func(v *victim) {
		p := v.peer(1 << 20)
		stream := uint32(1)
		try := func(path string, f attack.Frame, status, text string) {
			t.Helper()
			f.Stream = stream
			p.send(p.post(stream, path, grpcType), f)
			if e, _ := p.end(stream); e.fields["grpc-status"] != status || !strings.HasPrefix(e.fields["grpc-message"], text) {
				t.Errorf("%s with %d bytes: %+v, want %s %q", path, len(f.Payload), e, status, text)
			}
			stream += 2
		}
		text := func(n int) attack.Frame {
			return message(0, attack.EndStream, &testv1.EchoRequest{Text: strings.Repeat("x", n)})
		}
		try(echoPath, text(900), "0", "")
		try(echoPath, text(1100), "8", "message size 1103 is larger than configured max 1000")
		try(getPath, message(0, attack.EndStream, &testv1.GetRequest{Text: "0123456789"}), "8", "message size 12 is larger than configured max 10")
		try(echoPath, message(0, attack.EndStream, &testv1.EchoRequest{Text: strings.Repeat("x", 900), Count: 3}), "8", "message size 2705 exceeds sendMaxBytes 2000")
		try(echoPath, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Payload: []byte{0, 0xff, 0xff, 0xff, 0xff}}, "8", "message size 4294967295 is larger than configured max 1000")
		try(echoPath, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Payload: []byte{0, 0, 0, 0, 1, 0xff}}, "3", "the request message is not valid proto")
		try(echoPath, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Payload: []byte{1, 0, 0, 0, 1, 0xff}}, "13", "protocol error: sent compressed message without compression support")
		try(echoPath, attack.Frame{Kind: attack.Data, Flags: attack.EndStream}, "12", "unary request has zero messages")
		two := text(1)
		two.Payload = append(two.Payload, two.Payload...)
		try(echoPath, two, "12", "unary request has multiple messages")
		_ = p.Close()
		synctest.Wait()
	})
}

// Whatever a handler does, the call ends and the server lives.
func TestHandlersThatEndBadlyEndTheirCallAlone(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnGet: func(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		switch req.GetText() {
		case "panic":
			panic("secret")
		case "goexit":
			runtime.Goexit()
		}
		return &testv1.GetResponse{}, nil
	}, OnChat: func(context.Context, testv1connect.TestServiceChatServerStream) error {
		panic(connect.NewError(connect.CodeInternal, "secret"))
	}}
	underAttack(t, connectum.Config{}, svc, func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{Text: "panic"})
		p.call(3, getPath, &testv1.GetRequest{Text: "goexit"})
		p.send(p.post(5, chatPath, grpcType))
		for _, stream := range []uint32{1, 3, 5} {
			if e, _ := p.end(stream); e.fields["grpc-status"] != "13" || !strings.HasPrefix(e.fields["grpc-message"], "internal error") {
				t.Errorf("stream %d: %+v", stream, e)
			}
		}
		p.call(7, getPath, &testv1.GetRequest{})
		if e, _ := p.end(7); e.fields["grpc-status"] != "0" {
			t.Errorf("the next call: %+v", e)
		}
		_ = p.Close()
		synctest.Wait()
		if n := v.InFlight(); n != 0 {
			t.Errorf("%d calls in flight", n)
		}
	})
}
