package grpcnative_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/attack"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// told is a service whose Get tells all that its handler is told of the call, whose
// Echo ends in the way that it is asked for, and whose Sum reads nothing.
func told() testservice.Service {
	return testservice.Service{
		OnGet: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
			info, _ := connect.CallInfoForServerContext(ctx)
			var all []string
			for name, values := range info.RequestHeader().All() {
				switch name {
				case "Te", "Grpc-Timeout", "Grpc-Encoding": // docs/grpcnative.md
				default:
					all = append(all, fmt.Sprintf("%s=%q", name, values))
				}
			}
			slices.Sort(all)
			deadline, has := ctx.Deadline()
			left := time.Until(deadline).Round(time.Second)
			return &testv1.GetResponse{Text: fmt.Sprintf("%q %v for %s by %s %s %s>%s %v,%v %v", req.GetText(), info.Spec.Procedure, info.PeerAddr, info.Protocol, info.Codec,
				info.RequestEncoding, info.ResponseEncoding, has, left, all)}, nil
		},
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			info, _ := connect.CallInfoForServerContext(ctx)
			switch req.GetText() {
			case "percent":
				return nil, connect.NewError(connect.CodeAborted, "100 % \r\n é 世界 \x7f")
			case "not UTF-8":
				return nil, connect.NewError(connect.CodeAborted, "a\xffb")
			case "details":
				detail, err := connectproto.NewErrorDetail(wrapperspb.String(strings.Repeat("x", 100<<10)))
				if err != nil {
					return nil, err
				}
				return nil, connect.NewError(connect.CodeDataLoss, "much").WithDetail(detail)
			case "odd metadata", "odd metadata and an error":
				for _, h := range []*connect.Header{info.ResponseHeader(), info.ResponseTrailer()} {
					for name, value := range map[string]string{"X-Latin": "caf\xe9", "X-Unicode": "é", "X-Tab": "a\tb", "X-Line": "a\nb", "X-Nul": "a\x00b",
						"X Space": "x", "X-Ü": "x", "": "x", "X-Good": "good", "X-Odd-Bin": "!!", "Transfer-Encoding": "chunked", "Content-Length": "3", ":status": "201", "Grpc-Message": "x"} {
						h.Set(name, value)
					}
				}
				if req.GetText() != "odd metadata" {
					return nil, connect.NewError(connect.CodeAborted, "with odd metadata")
				}
			case "metadata", "metadata and an error":
				for _, h := range []*connect.Header{info.ResponseHeader(), info.ResponseTrailer()} {
					h.Add("X-Several", "one")
					h.Add("X-Several", "two, three")
					h.Set("X-Empty", "")
					h.Add("X-Raw-Bin", connect.EncodeBinaryHeader([]byte{0, 1, 255}))
					h.Add("X-Raw-Bin", connect.EncodeBinaryHeader(nil))
					h.Set("X-Raw2-Bin", "AAH/")
					h.Set("Grpc-Status", "7")
					h.Set("Content-Type", "text/plain")
				}
				if req.GetText() != "metadata" {
					return nil, connect.NewError(connect.CodeAborted, "with metadata")
				}
			}
			return &testv1.EchoResponse{Text: req.GetText(), Number: int64(len(req.GetPayload()))}, nil
		},
		OnSum: func(ctx context.Context, _ testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
}

// outcome is what a peer saw of a stream, and of its connection.
func (p *peer) outcome(stream uint32, wait time.Duration) string {
	_ = p.SetReadDeadline(time.Now().Add(wait))
	end := "lives"
	var heads []string
	var block, body []byte
	for {
		f, err := p.Next()
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				end = "ends"
			}
			break
		}
		switch {
		case f.Kind == attack.Settings && f.Flags&attack.Ack == 0:
			_ = p.Send(attack.Frame{Kind: attack.Settings, Flags: attack.Ack})
		case f.Kind == attack.Ping && f.Flags&attack.Ack == 0:
			_ = p.Send(attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: f.Payload})
		case f.Kind == attack.GoAway && f.Code() != 0:
			end = "ends"
		case f.Kind == attack.Headers, f.Kind == attack.Continuation:
			if block = append(block, f.Payload...); f.Flags&attack.EndHeaders == 0 {
				continue
			}
			fields, err := p.dec.DecodeFull(block)
			if block = nil; err != nil {
				p.t.Error(err)
			}
			if f.Stream != stream {
				continue
			}
			for _, h := range fields {
				switch {
				case h.Name == "date" || h.Name == "content-length" || h.Name == "trailer":
				case h.Name == "grpc-accept-encoding" || h.Name == "grpc-encoding": // docs/grpcnative.md
				case h.Name == "grpc-message" && h.Value == "":
				default:
					heads = append(heads, fmt.Sprintf("%s=%q", h.Name, h.Value))
				}
			}
		case f.Stream != stream:
		case f.Kind == attack.Data:
			body = append(body, f.Payload...)
		case f.Kind == attack.Reset && f.Code() != 0 && f.Code() != streamClosed: // these only stop what is of no use
			heads = append(heads, fmt.Sprintf("reset %d", f.Code()))
		}
	}
	slices.Sort(heads)
	if len(body) > 5 { // the flag, and the message from its text on
		body = append(body[:1], body[5+max(bytes.IndexByte(body[5:], '"'), 0):]...)
	}
	return fmt.Sprintf("%s; data %q; connection %s", strings.Join(heads, " "), body, end)
}

// odd is what a strange client sends as its call on a stream.
type odd struct {
	say  func(p *peer, stream uint32)
	wait time.Duration // for the outcome; a second if zero

	// What the native door does, where it is not what net/http's does: the whole of
	// it, or what stands there in place of what, in turns.
	native []string
	later  bool // only on a connection that it serves already
	lives  bool // the connection goes on, where net/http ends it
}

// served is what the native door answers to a sound call, whose head may say more.
func served(more string) []string {
	return []string{`:status="200" content-type="application/grpc" grpc-status="0"; data "\x00\"hi\" /connectum.test.v1.TestService/Get for client by grpc proto identity>identity true,30s [` +
		more + `Content-Type=[\"application/grpc\"] Host=[\"localhost\"]]"; connection lives`}
}

// Whatever a client sends, the native door does what net/http's does, or what is
// written beside: as the first request of a connection, which settles who serves
// it, and as a later one, which is refused as not looked at where only net/http can
// serve it, so that the client sends it again.
func TestOddClientsAreAnsweredAsByTheOtherDoor(t *testing.T) {
	t.Parallel()
	try := func(t *testing.T, engine, first bool, o odd) (out string) {
		synctest.Test(t, func(t *testing.T) {
			srv := connectum.New(quiet())
			told().Register(srv.RPC())
			if engine {
				grpcnative.Register(srv, grpcnative.Config{})
			}
			memory, done := doors.NewMemory("localhost:80"), make(chan error, 1)
			ctx, cancel := context.WithCancel(context.Background())
			go func() { done <- srv.Serve(ctx, memory) }()
			synctest.Wait()
			for range 2 { // the second time a request that was refused as not looked at
				c, err := memory.Dial(ctx)
				if err != nil {
					t.Fatal(err)
				}
				p, stream := silentPeer(t, c, 1<<20), uint32(1)
				if _, err := p.Until(attack.Settings); err != nil {
					t.Fatal(err)
				}
				p.Acknowledge()
				if !first {
					p.call(1, getPath, &testv1.GetRequest{})
					p.end(1)
					stream = 3
				}
				o.say(p, stream)
				out = p.outcome(stream, max(o.wait, time.Second))
				_ = p.Close()
				synctest.Wait()
				if engine && first || !strings.HasPrefix(out, "reset 7;") {
					break
				}
			}
			if engine && !first {
				if n := taken(srv); n == 0 {
					t.Error("the engine took no connection: nothing is proven")
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
			time.Sleep(time.Minute)
		})
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(odds)) {
		o := odds[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, first := range []bool{true, false} {
				want, got := try(t, false, first, o), try(t, true, first, o)
				if len(o.native) == 1 && !(o.later && first) {
					want = o.native[0]
				} else if len(o.native) > 1 && !(o.later && first) {
					was := want
					if want = strings.NewReplacer(o.native...).Replace(want); want == was {
						t.Errorf("%s, first %v: net/http says nothing of %q: %s", name, first, o.native, was)
					}
				}
				if o.lives && !(o.later && first) {
					if !strings.HasSuffix(want, "ends") {
						t.Errorf("%s, first %v: net/http does not end the connection", name, first)
					}
					want = strings.TrimSuffix(want, "ends") + "lives"
				}
				if got != want {
					t.Errorf("%s, first %v:\n got %.2000s\nwant %.2000s", name, first, got, want)
				}
			}
		})
	}
}

// taken is how many connections the engine of srv took.
func taken(srv *connectum.Server) (n float64) {
	for sample := range srv.Metrics() {
		if sample.Name == "connectum_grpcnative_connections_total" {
			n += sample.Value
		}
	}
	return n
}
