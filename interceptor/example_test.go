package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/resilience"
)

// The chain of a server, and what of it applies to one procedure.
func ExampleDefaults() {
	cfg := interceptor.Config{
		Bulkhead: resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50}),
	}
	srv := connectum.New(connectum.Config{Interceptors: interceptor.Defaults(cfg)})
	testservice.Service{}.Register(srv.RPC())

	fmt.Print(cfg.Explain(srv, "/connectum.test.v1.TestService/Echo"))
	// Output:
	// /connectum.test.v1.TestService/Echo, unary
	// ─► guard             recovery, masking, deadline, limits
	// ─► errors            table of 0, failures are logged
	// ─► bulkhead          capacity 100, queue 50
	// ─► handler
	//    telemetry         off
	//    log               off
	//    limiter           off
	//    rate-limit        off
	//    method-timeout    off
	//    stream-limits     off
	//    validate          left out: nothing to do here
}

// A client that repeats what may be repeated.
func ExampleClientDefaults() {
	fails := 2
	srv := connectum.New(connectum.Config{})
	testservice.Service{OnGet: func(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		if fails--; fails >= 0 {
			return nil, connect.NewError(connect.CodeUnavailable, "warming up")
		}
		return &testv1.GetResponse{Text: req.GetText()}, nil
	}}.Register(srv.RPC())

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport(),
		interceptor.ClientDefaults(interceptor.ClientConfig{Retry: resilience.NewRetry(resilience.RetryConfig{Delay: 1, MaxDelay: 1})})...))
	res, err := client.Get(context.Background(), &testv1.GetRequest{Text: "hello"})
	fmt.Println(res.GetText(), err)
	// Output: hello <nil>
}

// Errors of the application and what clients are told of them.
func ExampleErrors() {
	errEmpty := errors.New("shelf 7 is empty")
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{
		interceptor.Errors(interceptor.ErrorsConfig{Table: []interceptor.ErrorRule{
			interceptor.ErrorIs(errEmpty, connect.CodeFailedPrecondition, "sold out"),
		}}),
	}})
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		return nil, fmt.Errorf("take tea: %w", errEmpty)
	}}.Register(srv.RPC())

	_, err := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Echo(context.Background(), new(testv1.EchoRequest))
	fmt.Println(err)
	// Output: failed_precondition: sold out
}

// A line for each call, here without what differs from run to run.
func ExampleLog() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}))
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{interceptor.Log(interceptor.LogConfig{Logger: log})}})
	testservice.Service{}.Register(srv.RPC())
	_, _ = testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Echo(context.Background(), new(testv1.EchoRequest))
	// Output: level=INFO msg=call procedure=/connectum.test.v1.TestService/Echo door=inproc code=ok
}

// A link for some procedures alone. A name that is misspelt is a start error.
func ExampleOnly() {
	log := interceptor.Log(interceptor.LogConfig{Logger: slog.New(slog.DiscardHandler)})
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{
		interceptor.Only(log, "connectum.test.v1.TestService/Ecko"),
	}})
	testservice.Service{}.Register(srv.RPC())
	fmt.Println(srv.Check())
	// Output: connectum: interceptor "log": Only("connectum.test.v1.TestService/Ecko") covers no procedure of the server
}

// Headers of the inbound call go along with the calls it causes.
func ExamplePropagate() {
	inner := connectum.New(connectum.Config{})
	testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		info, _ := connect.CallInfoForServerContext(ctx)
		return &testv1.EchoResponse{Text: info.RequestHeader().Get("Traceparent")}, nil
	}}.Register(inner.RPC())
	toInner := testv1connect.NewTestServiceClient(connect.NewClient(inner.Transport(), interceptor.Propagate("traceparent", "tracestate")))

	outer := connectum.New(connectum.Config{})
	testservice.Service{OnEcho: toInner.Echo}.Register(outer.RPC())

	ctx, info := connect.NewClientContext(context.Background())
	info.RequestHeader().Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	res, err := testv1connect.NewTestServiceClient(connect.NewClient(outer.Transport())).Echo(ctx, new(testv1.EchoRequest))
	fmt.Println(res.GetText(), err)
	// Output: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 <nil>
}
