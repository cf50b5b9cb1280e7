package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/interceptor"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

func TestMain(m *testing.M) { leak.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

// native is a server with the native engine beside net/http.
func native(s testservice.Service, link connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", Logger: quiet,
		Interceptors: interceptor.Defaults(interceptor.Config{Telemetry: link, Logger: quiet})})
	s.Register(srv.RPC())
	grpcnative.Register(srv, grpcnative.Config{})
	return srv
}

// behaviours 126, 127 and 133: spans, events, instruments, units and labels by the
// native door are those of all others, for each kind of call that succeeds, fails,
// and fails when a stream has begun. The module telemetry holds the others to each
// other; it does not know this one.
func TestTheNativeDoorRecordsTheSame(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func() error{
		"success":   func() error { return nil },
		"not found": func() error { return connect.NewError(connect.CodeNotFound, "no such thing") },
		"a failure": func() error { return errors.New("the database is gone") },
		"a panic":   func() error { panic("out of memory") },
	} {
		for _, c := range []struct {
			name   string
			parity func(*testing.T, telemetry.Config, func(connectum.Interceptor) *connectum.Server, func(context.Context, *connect.Client), ...connectumtest.Door)
			call   func(context.Context, testv1connect.TestServiceClient) error
		}{
			{"unary", telemetrytest.Parity, func(ctx context.Context, c testv1connect.TestServiceClient) error {
				_, err := c.Echo(ctx, &testv1.EchoRequest{Text: "hello"})
				return err
			}},
			{"client stream", telemetrytest.Parity, func(ctx context.Context, c testv1connect.TestServiceClient) error {
				stream, err := c.Sum(ctx)
				if err != nil {
					return err
				}
				for n := range int64(3) {
					if err := stream.Send(&testv1.SumRequest{Number: n}); err != nil && !errors.Is(err, io.EOF) {
						return err
					}
				}
				_, err = stream.CloseAndReceive()
				return err
			}},
			{"server stream", telemetrytest.Parity, func(ctx context.Context, c testv1connect.TestServiceClient) error {
				stream, err := c.Count(ctx, &testv1.CountRequest{Count: 2})
				if err != nil {
					return err
				}
				for err == nil {
					_, err = stream.Receive()
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}},
			{"bidi stream", telemetrytest.BidiParity, func(ctx context.Context, c testv1connect.TestServiceClient) error {
				stream, err := c.Chat(ctx)
				if err != nil {
					return err
				}
				if err := stream.Send(&testv1.ChatRequest{Text: "hello"}); err != nil {
					return err
				}
				if _, err := stream.Receive(); err != nil {
					return err
				}
				_ = stream.CloseSend()
				if _, err = stream.Receive(); errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				t.Parallel()
				c.parity(t, telemetry.Config{MessageEvents: true}, func(link connectum.Interceptor) *connectum.Server {
					return native(ending(fault), link)
				}, func(ctx context.Context, client *connect.Client) {
					if err := c.call(ctx, testv1connect.NewTestServiceClient(client)); (err == nil) != (name == "success") {
						t.Errorf("the call: %v", err)
					}
				}, connectumtest.Door(grpcnative.Door()))
			})
		}
	}
}

// ending is a service whose methods end by f, streams after a message.
func ending(f func() error) testservice.Service {
	return testservice.Service{
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{Text: req.GetText()}, f()
		},
		OnSum: func(_ context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			for range 3 {
				if _, err := s.Receive(); err != nil {
					return nil, err
				}
			}
			return &testv1.SumResponse{Sum: 3}, f()
		},
		OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
				return err
			}
			return f()
		},
		OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
			if _, err := s.Receive(); err != nil {
				return err
			}
			if err := s.Send(&testv1.ChatResponse{Number: 1}); err != nil {
				return err
			}
			return f()
		},
	}
}

// The door is one attribute, the bytes are those of the wire, and the caller's
// trace goes on.
func TestTheNativeDoorIsNamed(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	srv := native(testservice.Service{}, rec.Server())
	connectumtest.Start(t, srv)
	to, err := grpcnative.Door().Open(t.Context(), srv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testv1connect.NewTestServiceClient(connect.NewClient(to, rec.Client())).Echo(t.Context(), &testv1.EchoRequest{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	server, client := rec.ServerSpan(t, testv1connect.TestServiceEchoProcedure), rec.ClientSpan(t, testv1connect.TestServiceEchoProcedure)
	if a := server.Attributes; a["connectum.door"] != string(grpcnative.DoorGRPC) || a["rpc.system.name"] != "grpc" || a["network.peer.address"] != "127.0.0.1" || server.ParentID != client.SpanID {
		t.Errorf("%+v", server)
	}
	for _, size := range []string{"request.size", "response.size"} {
		if s, c := rec.Point(t, "rpc.server."+size, nil), rec.Point(t, "rpc.client."+size, nil); s.Sum == 0 || s.Sum != c.Sum {
			t.Errorf("%s: the server has %v, the client %v", size, s.Sum, c.Sum)
		}
	}
}
