package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/resilience"
)

const servicePath = "/connectum.test.v1.TestService/"

var quiet = slog.New(slog.DiscardHandler)

// serve returns a server of the test service with this chain.
func serve(s testservice.Service, chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Interceptors: chain, Logger: quiet})
	s.Register(srv.RPC())
	return srv
}

// methods are calls of the test service, one for each kind.
var methods = []struct {
	kind connect.StreamType
	name string
	call func(ctx context.Context, client *connect.Client) error
}{
	{connect.StreamTypeUnary, "Echo", func(ctx context.Context, c *connect.Client) error {
		_, err := testv1connect.NewTestServiceClient(c).Echo(ctx, &testv1.EchoRequest{Text: "hello"})
		return err
	}},
	{connect.StreamTypeClient, "Sum", func(ctx context.Context, c *connect.Client) error {
		stream, err := testv1connect.NewTestServiceClient(c).Sum(ctx)
		if err != nil {
			return err
		}
		for n := range int64(3) {
			if err := stream.Send(&testv1.SumRequest{Number: n + 1}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		_, err = stream.CloseAndReceive()
		return err
	}},
	{connect.StreamTypeServer, "Count", func(ctx context.Context, c *connect.Client) error {
		stream, err := testv1connect.NewTestServiceClient(c).Count(ctx, &testv1.CountRequest{Count: 4, Text: "hello"})
		if err != nil {
			return err
		}
		for {
			if _, err := stream.Receive(); err != nil {
				return end(err)
			}
		}
	}},
	{connect.StreamTypeBidi, "Chat", func(ctx context.Context, c *connect.Client) error {
		stream, err := testv1connect.NewTestServiceClient(c).Chat(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&testv1.ChatRequest{Text: "hello"}); err != nil {
			return err
		}
		if _, err := stream.Receive(); err != nil {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		_, err = stream.Receive()
		return end(err)
	}},
}

func end(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// failing answers every method with an error of f, streams after a message.
func failing(f func() error) testservice.Service {
	return testservice.Service{
		OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) { return nil, f() },
		OnSum: func(_ context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			for range 3 {
				if _, err := s.Receive(); err != nil {
					return nil, err
				}
			}
			return nil, f()
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

// eachKind runs f for each of methods.
func eachKind(t *testing.T, f func(t *testing.T, i int)) {
	t.Helper()
	for i, m := range methods {
		t.Run(m.kind.String(), func(t *testing.T) { f(t, i) })
	}
}

// transport opens a door of a server that runs, by its name.
func transport(t *testing.T, run *connectumtest.Server, srv *connectum.Server, name string) connect.Transport {
	t.Helper()
	for _, d := range run.Doors() {
		if d.Name == name {
			to, err := d.Open(t.Context(), srv)
			if err != nil {
				t.Fatal(err)
			}
			return to
		}
	}
	t.Fatalf("no door %q", name)
	return nil
}

func newRetry() *resilience.Retry {
	return resilience.NewRetry(resilience.RetryConfig{Unsafe: func(connect.Spec) bool { return true }, Delay: time.Nanosecond, MaxDelay: time.Nanosecond})
}

var never = sdktrace.NeverSample()
