package grpcnative_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
	"google.golang.org/grpc"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Every limit holds behind the native door, in the test that is named here.
func TestEveryLimitHasATestByTheNativeDoor(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"MaxReceiveBytes":      "TestSizesAreHeld",
		"MaxJSONBytes":         "TestJSONIsBounded",
		"MaxSendBytes":         "TestSizesAreHeld",
		"DecodeBudget":         "TestFewBombsGrowAtOnce, TestBombsWithinTheLimitShareTheDecodeBudget",
		"CompressMinBytes":     "TestSmallAnswersAreNotCompressed",
		"MaxHeaderBytes":       "TestHeaderBombsAreRefused, TestAHeaderBlockThatSaysTooMuchCostsLittle",
		"HeaderTimeout":        "TestPeersThatSayNothingAreCut, TestSilentPeersOfTLSAreCut",
		"HandshakeTimeout":     "TestSilentPeersOfTLSAreCut",
		"IdleTimeout":          "TestIdleAndDeadConnectionsEnd",
		"ReadStall":            "TestARequestThatStallsIsEndedAlone, TestARequestThatComesSlowlyIsServed",
		"WriteStall":           "TestAClientThatTakesNothingHoldsNoHandler, TestAnswersThatNobodyTakesAreReset",
		"PingInterval":         "TestIdleAndDeadConnectionsEnd",
		"PingTimeout":          "TestIdleAndDeadConnectionsEnd",
		"MaxConcurrentStreams": "TestStreamsOverTheLimitAreRefused, TestHandlersOfResetStreamsAreHeldToTheStreamLimit",
		"StreamBuffer":         "TestWindowsAreWhatTheLimitsSay",
		"ConnBuffer":           "TestWindowsAreWhatTheLimitsSay",
		"MaxConns":             "TestConnectionsOverTheLimitReplaceIdleOnes",
		"MaxInFlight":          "TestInfrastructureAndTraffic",
		"Timeout":              "TestCallsTakeNoLongerThanTheLimit",
		"MaxConnectionAge":     "TestOldConnectionsAreAskedToLeave",
		"AgeJitter":            "TestOldConnectionsAreAskedToLeave",
		"PerProcedure":         "TestSizesAreHeld",
	}
	for field := range reflect.TypeFor[connectum.Limits]().Fields() {
		if tests[field.Name] == "" {
			t.Errorf("no test by the native door holds Limits.%s", field.Name)
		}
	}
}

func TestWindowsAreWhatTheLimitsSay(t *testing.T) {
	t.Parallel()
	for _, l := range []connectum.Limits{{StreamBuffer: 128 << 10, ConnBuffer: 512 << 10}, {StreamBuffer: 2 << 20, ConnBuffer: 3 << 20}} {
		underAttack(t, connectum.Config{Limits: l}, native(), func(v *victim) {
			p := v.peer(1 << 20)
			p.send(p.post(1, getPath, grpcType)) // which has the engine take the connection
			_ = p.SetReadDeadline(time.Now().Add(time.Second))
			stream, conn := uint32(65535), uint32(65535)
			for {
				f, err := p.Next()
				if err != nil {
					break
				}
				if n, ok := f.Setting(4); ok && f.Kind == attack.Settings {
					stream = n
				}
				if f.Kind == attack.Window && f.Stream == 0 {
					conn += binary.BigEndian.Uint32(f.Payload)
				}
			}
			if stream != uint32(l.StreamBuffer) || conn != uint32(l.ConnBuffer) {
				t.Errorf("windows of %d for a stream and %d for the connection, want %d and %d", stream, conn, l.StreamBuffer, l.ConnBuffer)
			}
			_ = p.Close()
			synctest.Wait()
		})
	}
}

func TestJSONIsBounded(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{Limits: connectum.Limits{MaxJSONBytes: 1000}}, testservice.Service{}, func(v *victim) {
		p := v.peer(1 << 20)
		for i, test := range []struct {
			kind string
			size int
			want string
		}{{"+json", 900, "0"}, {"+json", 1100, "8"}, {"+proto", 1100, "0"}} {
			stream := uint32(1 + 2*i)
			body := []byte(fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", test.size)))
			if test.kind != "+json" {
				body = message(0, 0, &testv1.EchoRequest{Text: strings.Repeat("x", test.size)}).Payload[5:]
			}
			p.send(p.post(stream, echoPath, grpcType+test.kind), attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream, Payload: attack.Envelope(0, body)})
			if e, _ := p.end(stream); e.fields["grpc-status"] != test.want {
				t.Errorf("%d bytes of %s: %+v, want %s", test.size, test.kind, e, test.want)
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}

func TestSmallAnswersAreNotCompressed(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{Limits: connectum.Limits{CompressMinBytes: 500}}, testservice.Service{}, func(v *victim) {
		p, stream := v.peer(1<<20), uint32(1)
		for _, path := range []string{echoPath, countPath} {
			for size, want := range map[int]byte{400: 0, 600: 1} {
				req := message(stream, attack.EndStream, &testv1.EchoRequest{Text: strings.Repeat("x", size)})
				if path == countPath {
					req = message(stream, attack.EndStream, &testv1.CountRequest{Count: 1, Text: strings.Repeat("x", size)})
				}
				p.send(p.post(stream, path, grpcType, "grpc-accept-encoding", "gzip"), req)
				if e, _ := p.end(stream); len(e.data) == 0 || e.data[0] != want {
					t.Errorf("%s, %d bytes: %+v, want flag %d", path, size, e, want)
				}
				stream += 2
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// Requests in an encoding of the configuration are served, by whoever can; where its
// gzip is not the server's own, answers are not compressed.
func TestCompressorsOfTheConfigurationServe(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]connectum.Door{"gzip": grpcnative.DoorGRPC, "other": connectum.DoorHTTP} {
		underAttack(t, connectum.Config{Compressors: []connect.Compressor{renamed{connectgzip.New(), name}}}, testservice.Service{
			OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				return &testv1.EchoResponse{Text: req.GetText() + string(connectum.DoorOf(ctx))}, nil
			},
		}, func(v *victim) {
			text := strings.Repeat("x", 2000)
			body := message(1, attack.EndStream, &testv1.EchoRequest{Text: text})
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			_, _ = w.Write(body.Payload[5:])
			_ = w.Close()
			body.Payload = attack.Envelope(1, zipped.Bytes())
			c, err := v.memory.Dial(v.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := silentPeer(t, c, 1<<20) // it may be net/http's
			p.send(p.post(1, echoPath, grpcType, "grpc-encoding", name, "grpc-accept-encoding", "identity"), body)
			e, _ := p.end(1)
			if want == grpcnative.DoorGRPC {
				if got := answer(t, e, new(testv1.EchoResponse)).GetText(); got != text+string(want) || e.data[0] != 0 {
					t.Errorf("%s: flag %d, %q", name, e.data[0], got)
				}
			} else if e.fields["grpc-status"] != "0" || taken(v.Server) != 0 {
				t.Errorf("%s: %+v, by an engine that took %v connections", name, e, taken(v.Server))
			}
			_ = p.Close()
			synctest.Wait()
		})
	}
}

// renamed is a compressor by another name.
type renamed struct {
	connect.Compressor
	name string
}

func (r renamed) Name() string { return r.name }

// Streams that their handlers do not read hold what Limits.StreamBuffer lets them, and
// no other call of the connection, however small Limits.ConnBuffer is.
func TestStreamsThatNobodyReadsHoldNoOtherCall(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnSum: func(ctx context.Context, _ testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	underAttack(t, connectum.Config{Limits: connectum.Limits{StreamBuffer: 64 << 10, ConnBuffer: 100 << 10}}, svc, func(v *victim) {
		p := v.peer(1 << 20)
		for i := range uint32(8) { // five times the buffer of the connection
			p.send(p.post(1+2*i, sumPath, grpcType))
			for range 4 {
				p.send(attack.Frame{Kind: attack.Data, Stream: 1 + 2*i, Payload: make([]byte, 16<<10)})
				synctest.Wait() // for the window that comes back
			}
		}
		p.call(17, getPath, &testv1.GetRequest{})
		if e, _ := p.end(17); e.fields["grpc-status"] != "0" {
			t.Errorf("%+v", e)
		}
		p.send(attack.Frame{Kind: attack.Data, Stream: 1, Payload: make([]byte, 1)})
		if e, _ := p.end(1); !e.reset || e.code != attack.FlowControl {
			t.Errorf("more than the buffer of the stream: %+v", e)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

func TestCallsTakeNoLongerThanTheLimit(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	underAttack(t, connectum.Config{Limits: connectum.Limits{Timeout: 3 * time.Second}}, svc, func(v *victim) {
		p, began := v.peer(1<<20), time.Now()
		p.call(1, getPath, &testv1.GetRequest{}, "grpc-timeout", "20S")
		if e, _ := p.end(1); e.fields["grpc-status"] != "4" || e.fields["grpc-message"] != "the call took longer than the server's limit of 3s" ||
			time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// A native connection that carries no call makes room for another; one that does
// is left alone, and the other is refused.
func TestConnectionsOverTheLimitReplaceIdleOnes(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{Limits: connectum.Limits{MaxConns: 2}}, native(), func(v *victim) {
		get := func(p *peer, stream uint32) {
			t.Helper()
			p.call(stream, getPath, &testv1.GetRequest{})
			if e, _ := p.end(stream); e.fields["grpc-status"] != "0" {
				t.Errorf("stream %d: %+v", stream, e)
			}
		}
		idle, busy := v.peer(1<<20), v.peer(1<<20)
		get(idle, 1)
		busy.send(busy.post(1, chatPath, grpcType))
		synctest.Wait()
		third := v.peer(1 << 20)
		get(third, 1)
		if _, err := io.Copy(io.Discard, idle); err != nil {
			t.Errorf("the idle connection ended with %v", err)
		}
		third.send(third.post(3, chatPath, grpcType))
		synctest.Wait()
		fourth, err := v.memory.Dial(v.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := io.Copy(io.Discard, fourth); n != 0 {
			t.Errorf("a connection above the limit was told %d bytes", n)
		}
		get(busy, 3)
		get(third, 5)
		_, _, _ = busy.Close(), third.Close(), fourth.Close()
		synctest.Wait()
	})
}

// PINGs are enforced: those that come sooner than a second after one another, and
// answer nothing, end the connection; slower ones never do.
func TestKeepaliveIsEnforced(t *testing.T) {
	t.Parallel()
	for every, cut := range map[time.Duration]bool{300 * time.Millisecond: true, 1100 * time.Millisecond: false} {
		for _, with := range []string{"no call", "a call"} {
			underAttack(t, connectum.Config{}, native(), func(v *victim) {
				p := v.peer(1 << 20)
				p.call(1, getPath, &testv1.GetRequest{})
				p.end(1)
				if with == "a call" {
					p.send(p.post(3, chatPath, grpcType))
				}
				go func() {
					for range 50 {
						if p.Send(attack.Frame{Kind: attack.Ping, Payload: make([]byte, 8)}) != nil {
							return
						}
						time.Sleep(every)
					}
				}()
				_ = p.SetReadDeadline(time.Now().Add(time.Minute))
				told := ""
				for {
					f, err := p.Next()
					if err != nil {
						break
					}
					if f.Kind == attack.Ping && f.Flags&attack.Ack == 0 {
						_ = p.Send(attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: f.Payload})
					}
					if f.Kind == attack.GoAway && f.Code() == attack.Calm {
						told = string(f.Payload[8:])
					}
				}
				if want := map[bool]string{true: "too_many_pings", false: ""}[cut]; told != want {
					t.Errorf("PINGs every %v with %s: told %q, want %q", every, with, told, want)
				}
				_ = p.Close()
				synctest.Wait()
			})
		}
	}
}

// The control of TestHandlersOfResetStreamsAreHeldToTheStreamLimit: by its own
// defaults grpc-go runs a handler for each of the streams, though all are reset.
func TestGrpcGoAloneRunsTheHandlersOfResetStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		release := make(chan struct{})
		srv := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			running.Add(1)
			defer running.Add(-1)
			<-release
			return nil
		}))
		memory, ended := newMemory(), make(chan error, 1)
		go func() { ended <- srv.Serve(memory) }()
		c, err := memory.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, c, 1<<20)
		go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
		for i := range uint32(3000) {
			p.send(attack.Post(1+2*i, chatPath, grpcType),
				attack.Frame{Kind: attack.Reset, Stream: 1 + 2*i, Payload: []byte{0, 0, 0, attack.Cancel}})
		}
		synctest.Wait()
		if n := running.Load(); n < 1000 {
			t.Errorf("%d handlers run: the test of ours proves nothing", n)
		}
		close(release)
		_ = p.Close()
		srv.Stop()
		<-ended
	})
}
