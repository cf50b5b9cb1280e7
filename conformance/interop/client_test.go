package interop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviour 59 through grpc-go's client.
func TestGRPCGoMakesCallsOfEveryKind(t *testing.T) {
	t.Parallel()
	each(t, connectum.Config{}, testservice.Service{}, func(t *testing.T, c grpcclient.Client) {
		t.Run("unary", func(t *testing.T) { unary(t, c) })
		t.Run("client stream", func(t *testing.T) { clientStream(t, c) })
		t.Run("server stream", func(t *testing.T) { serverStream(t, c) })
		t.Run("bidi stream", func(t *testing.T) { bidiStream(t, c) })
	})
}

// Both ways, and above the size from which the server compresses.
func TestGRPCGoCompresses(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 100)
	svc := testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		info, _ := connect.CallInfoForServerContext(ctx)
		heard <- info.RequestEncoding
		return &testv1.EchoResponse{Payload: req.GetPayload()}, nil
	}}
	each(t, connectum.Config{}, svc, func(t *testing.T, c grpcclient.Client) {
		want := bytes.Repeat([]byte("compressible "), 1000)
		var seen payloads
		ctx := context.WithValue(t.Context(), payloads{}, &seen)
		res, err := c.Echo(ctx, &testv1.EchoRequest{Payload: want}, grpc.UseCompressor(gzip.Name))
		if err != nil || !bytes.Equal(res.GetPayload(), want) {
			t.Fatalf("%d bytes, error %v", len(res.GetPayload()), err)
		}
		if got := <-heard; got != gzip.Name {
			t.Errorf("the request came with encoding %q", got)
		}
		if seen.length < len(want) || seen.wire > seen.length/10 {
			t.Errorf("an answer of %d bytes came as %d", seen.length, seen.wire)
		}
		t.Run("streams", func(t *testing.T) {
			opt := grpc.UseCompressor(gzip.Name)
			clientStream(t, c, opt)
			serverStream(t, c, opt)
			bidiStream(t, c, opt)
		})
	}, grpc.WithStatsHandler(payloads{}))
}

// payloads, in the context of a call, notes the size of the last message that
// came in.
type payloads struct{ length, wire int }

func (payloads) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (payloads) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (payloads) HandleConn(context.Context, stats.ConnStats)                       {}

func (payloads) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		if seen, ok := ctx.Value(payloads{}).(*payloads); ok {
			seen.length, seen.wire = in.Length, in.WireLength
		}
	}
}

func unary(t *testing.T, c grpcclient.Client, opts ...grpc.CallOption) {
	t.Helper()
	want := &testv1.EchoRequest{Text: "a", Number: 1 << 40, Payload: []byte{0, 255}, Tags: []string{"x", ""}, Labels: map[string]string{"k": "v"}}
	res, err := c.Echo(t.Context(), want, opts...)
	if err != nil {
		t.Fatal(err)
	}
	connectumtest.Want(t, res, &testv1.EchoResponse{Text: "a", Number: 1 << 40, Payload: []byte{0, 255}, Tags: []string{"x", ""}, Labels: map[string]string{"k": "v"}})
}

func clientStream(t *testing.T, c grpcclient.Client, opts ...grpc.CallOption) {
	t.Helper()
	s, err := c.Sum(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(100) {
		if err := s.Send(&testv1.SumRequest{Number: n, Payload: make([]byte, 2000)}); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := s.CloseAndRecv(); err != nil || res.GetSum() != 4950 || res.GetCount() != 100 {
		t.Errorf("%v, error %v", res, err)
	}
}

func serverStream(t *testing.T, c grpcclient.Client, opts ...grpc.CallOption) {
	t.Helper()
	s, err := c.Count(t.Context(), &testv1.CountRequest{Count: 100, Payload: make([]byte, 2000)}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(1); ; n++ {
		res, err := s.Recv()
		if errors.Is(err, io.EOF) {
			if n != 101 {
				t.Errorf("ended before message %d", n)
			}
			return
		}
		if err != nil || res.GetNumber() != n || len(res.GetPayload()) != 2000 {
			t.Fatalf("message %d: %v, error %v", n, res, err)
		}
	}
}

func bidiStream(t *testing.T, c grpcclient.Client, opts ...grpc.CallOption) {
	t.Helper()
	s, err := c.Chat(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(100) { // each message answers the last
		if err := s.Send(&testv1.ChatRequest{Number: n}); err != nil {
			t.Fatal(err)
		}
		if res, err := s.Recv(); err != nil || res.GetNumber() != n {
			t.Fatalf("message %d: %v, error %v", n, res, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
}

// Metadata in both directions, text and binary, several values for one key; the
// handler's before and after the messages. Empty text and empty binary values
// are values.
func TestGRPCGoCarriesMetadata(t *testing.T) {
	t.Parallel()
	binary := string([]byte{0, 1, 254, 255})
	answer := func(ctx context.Context) error {
		info, _ := connect.CallInfoForServerContext(ctx)
		in := info.RequestHeader()
		b, err := connect.DecodeBinaryHeader(in.Get("Ask-Bin"))
		if err != nil {
			return err
		}
		for _, v := range in.Values("Ask") {
			info.ResponseHeader().Add("Told", v)
		}
		info.ResponseHeader().Set("Told-Bin", connect.EncodeBinaryHeader(b))
		info.ResponseTrailer().Add("After", "1")
		info.ResponseTrailer().Add("After", "2")
		info.ResponseTrailer().Set("After-Bin", connect.EncodeBinaryHeader(b))
		return nil
	}
	svc := testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{}, answer(ctx)
		},
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := answer(ctx); err != nil {
				return err
			}
			if err := s.Send(&testv1.CountResponse{}); err != nil {
				return err
			}
			return connect.NewError(connect.CodeAborted, "after a message")
		},
	}
	each(t, connectum.Config{}, svc, func(t *testing.T, c grpcclient.Client) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "ask", "one", "ask", "two", "ask-bin", binary)
		check := func(header, trailer metadata.MD) {
			t.Helper()
			connectumtest.Want(t, header.Get("told"), []string{"one", "two"})
			connectumtest.Want(t, header.Get("told-bin"), []string{binary})
			connectumtest.Want(t, trailer.Get("after"), []string{"1", "2"})
			connectumtest.Want(t, trailer.Get("after-bin"), []string{binary})
		}
		var header, trailer metadata.MD
		if _, err := c.Echo(ctx, &testv1.EchoRequest{}, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		check(header, trailer)

		s, err := c.Count(ctx, &testv1.CountRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if header, err = s.Header(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "after a message" {
			t.Errorf("ended with %v", err)
		}
		check(header, s.Trailer())
	})
}

// Behaviour 73: the handler sees who called, and the client whom it reached.
func TestGRPCGoShowsItsCertificate(t *testing.T) {
	t.Parallel()
	certs := connectumtest.Certs(t)
	svc := testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		state, ok := connectum.PeerTLS(ctx)
		if !ok {
			return nil, connect.NewError(connect.CodeUnauthenticated, "who?")
		}
		return &testv1.EchoResponse{Text: state.PeerCertificates[0].Subject.CommonName}, nil
	}}
	register := func(srv *connectum.Server) { svc.Register(srv.RPC()) }
	addr := start(t, connectum.Config{TLS: certs.MutualTLS()}, certs.Trust(certs.Client), register)
	for _, name := range []string{"alice", "bob"} {
		c := grpcclient.Client{Conn: dial(t, addr, certs.Trust(certs.ClientNamed(t, name)))}
		var p peer.Peer
		res, err := c.Echo(t.Context(), &testv1.EchoRequest{}, grpc.Peer(&p))
		if err != nil || res.GetText() != name {
			t.Errorf("%s: %v, error %v", name, res, err)
			continue
		}
		if info, ok := p.AuthInfo.(credentials.TLSInfo); !ok || info.State.NegotiatedProtocol != "h2" {
			t.Errorf("%s: peer %v", name, p)
		}
	}
	// The control: without a certificate nobody is served.
	c := grpcclient.Client{Conn: dial(t, addr, certs.Trust())}
	if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: %v", err)
	}
}

// A client that keeps a connection beyond its age moves on without a failed
// call: the server asks, grpc-go dials anew.
func TestGRPCGoMovesOnWhenItsConnectionIsOld(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		info, _ := connect.CallInfoForServerContext(ctx)
		return &testv1.EchoResponse{Text: info.PeerAddr}, nil
	}}
	cfg := connectum.Config{Limits: connectum.Limits{MaxConnectionAge: 100 * time.Millisecond}}
	each(t, cfg, svc, func(t *testing.T, c grpcclient.Client) {
		seen := map[string]bool{}
		for deadline := time.Now().Add(patience); len(seen) < 5; {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections within %v", len(seen), patience)
			}
			res, err := c.Echo(t.Context(), &testv1.EchoRequest{})
			if err != nil {
				t.Fatalf("after %d connections: %v", len(seen), err)
			}
			seen[res.GetText()] = true
		}
	})
}
