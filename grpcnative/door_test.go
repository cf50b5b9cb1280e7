package grpcnative_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func quiet() connectum.Config {
	return connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
}

// newServer has the engine and svc.
func newServer(cfg connectum.Config, svc testservice.Service) *connectum.Server {
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	grpcnative.Register(srv, grpcnative.Config{})
	return srv
}

// native is a service that tells by which door it was called.
func native() testservice.Service {
	return testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		return &testv1.GetResponse{Text: string(connectum.DoorOf(ctx))}, nil
	}}
}

func TestCallsOfTheDoorComeInByTheEngine(t *testing.T) {
	t.Parallel()
	run := connectumtest.Start(t, newServer(quiet(), native()))
	client := testv1connect.NewTestServiceClient(run.Through(t, grpcnative.Door()))
	for range 3 {
		res, err := client.Get(t.Context(), &testv1.GetRequest{})
		if err != nil || res.GetText() != string(grpcnative.DoorGRPC) {
			t.Fatalf("got %v, %v; want door %q", res, err, grpcnative.DoorGRPC)
		}
	}
}

// rich answers with everything that parity compares.
func rich() testservice.Service {
	return testservice.Service{
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			info, _ := connect.CallInfoForServerContext(ctx)
			info.ResponseHeader().Set("X-Header", "h")
			info.ResponseHeader().Set("X-Raw-Bin", connect.EncodeBinaryHeader([]byte{0, 1, 255}))
			info.ResponseTrailer().Set("X-Trailer", "t")
			info.ResponseTrailer().Set("X-Got", "got:"+info.RequestHeader().Get("X-Sent")+info.RequestHeader().Get("X-Sent-Bin"))
			detail, err := connectproto.NewErrorDetail(durationpb.New(time.Second))
			if err != nil {
				return nil, err
			}
			if req.GetText() == "fail" {
				return nil, connect.NewError(connect.CodeNotFound, "no such thing").WithDetail(detail)
			}
			return &testv1.EchoResponse{Text: req.GetText(), Number: 7, Payload: req.GetPayload()}, nil
		},
		OnCount: func(ctx context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			info, _ := connect.CallInfoForServerContext(ctx)
			info.ResponseHeader().Set("X-Header", "count")
			info.ResponseTrailer().Set("X-Trailer", "count")
			for i := range req.GetCount() {
				if err := s.Send(&testv1.CountResponse{Number: int64(i), Text: req.GetText()}); err != nil {
					return err
				}
			}
			if req.GetText() == "fail" {
				return connect.NewError(connect.CodeAborted, "100 % \n é")
			}
			return nil
		},
	}
}

func scenario(t testing.TB, client *connect.Client) {
	c := testv1connect.NewTestServiceClient(client)
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("X-Sent", "s")
	info.RequestHeader().Set("X-Sent-Bin", connect.EncodeBinaryHeader([]byte("\x00\xffbin")))
	for _, text := range []string{"a", "", strings.Repeat("long ", 1000), "fail"} {
		_, _ = c.Echo(ctx, &testv1.EchoRequest{Text: text})
	}
	_, _ = c.Echo(t.Context(), &testv1.EchoRequest{Payload: make([]byte, 500<<10)})
	sum, err := c.Sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		_ = sum.Send(&testv1.SumRequest{Number: int64(i)})
	}
	if _, err := sum.CloseAndReceive(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "fail", strings.Repeat("x", 2000)} {
		count, err := c.Count(t.Context(), &testv1.CountRequest{Count: 50, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = count.Receive()
		}
		if text != "fail" && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
}

func bidi(t testing.TB, client *connect.Client) {
	chat, err := testv1connect.NewTestServiceClient(client).Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := chat.Send(&testv1.ChatRequest{Number: int64(i)}); err != nil {
			t.Fatal(err)
		}
		if res, err := chat.Receive(); err != nil || res.GetNumber() != int64(i) {
			t.Fatalf("message %d: %v, %v", i, res, err)
		}
	}
	_ = chat.CloseSend()
	if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

func TestParityHoldsForTheNativeDoor(t *testing.T) {
	t.Parallel()
	connectumtest.Parity(t, newServer(quiet(), rich()), scenario, grpcnative.Door())
	connectumtest.Parity(t, newServer(quiet(), rich()), bidi, grpcnative.Door())
}

// So do all kinds of calls where the server ends TLS.
func TestEveryKindOfCallComesInOverTLS(t *testing.T) {
	t.Parallel()
	pairs, svc := connectumtest.Certs(t), rich()
	cfg := quiet()
	cfg.TLS = connectum.TLS{CertPEM: pairs.Server.CertPEM, KeyPEM: pairs.Server.KeyPEM}
	var others atomic.Int64
	cfg.Interceptors = []connectum.Interceptor{connectum.Wrap("door", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, s connect.ServerStream) error {
			if connectum.DoorOf(ctx) != grpcnative.DoorGRPC {
				others.Add(1)
			}
			return next(ctx, spec, s)
		}
	})}
	run := connectumtest.Start(t, newServer(cfg, svc), connectumtest.WithTLS(pairs.Trust()))
	client := run.Through(t, grpcnative.DoorTLS(pairs.Trust()))
	scenario(t, client)
	bidi(t, client)
	if n := others.Load(); n != 0 {
		t.Errorf("%d calls came by another door", n)
	}
	scenario(t, run.Connect()) // the control
	if others.Load() == 0 {
		t.Error("calls of another door were not noticed")
	}
}

func TestParityHoldsForErrorsHoweverTheyAreMade(t *testing.T) {
	t.Parallel()
	faults := map[string]func() error{
		"not made for clients": func() error { return errors.New("secret") },
		"wrapped":              func() error { return fmt.Errorf("context: %w", connect.NewError(connect.CodeAborted, "public")) },
		"of another server":    func() error { return connect.NewError(connect.CodeAborted, "theirs").WithRemote() },
		"panic":                func() error { panic("boom") },
		"canceled":             func() error { return context.Canceled },
		"odd text":             func() error { return connect.NewError(connect.CodeNotFound, "100 % \n é") },
		"no text":              func() error { return connect.NewError(connect.CodeNotFound, "") },
		"odd code":             func() error { return connect.NewError(99, "odd") },
	}
	names := slices.Sorted(maps.Keys(faults))
	svc := testservice.Service{
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return nil, faults[req.GetText()]()
		},
		OnCount: func(_ context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{}); err != nil {
				return err
			}
			return faults[req.GetText()]()
		},
		OnSum: func(_ context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			req, err := s.Receive()
			if err != nil {
				return nil, err
			}
			return nil, faults[names[req.GetNumber()]]()
		},
	}
	connectumtest.Parity(t, newServer(quiet(), svc), func(t testing.TB, client *connect.Client) {
		c := testv1connect.NewTestServiceClient(client)
		for i, name := range names {
			_, _ = c.Echo(t.Context(), &testv1.EchoRequest{Text: name})
			count, err := c.Count(t.Context(), &testv1.CountRequest{Text: name})
			for err == nil {
				_, err = count.Receive()
			}
			if sum, err := c.Sum(t.Context()); err == nil {
				_ = sum.Send(&testv1.SumRequest{Number: int64(i)})
				_, _ = sum.CloseAndReceive()
			}
		}
	}, grpcnative.Door())
}
