package connectum_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

var echoSpec = connect.Spec{StreamType: connect.StreamTypeUnary, Procedure: testv1connect.TestServiceEchoProcedure}

// openEcho opens a unary call in-process, by its stream.
func openEcho(ctx context.Context, t *testing.T, s testservice.Service) connect.ClientStream {
	t.Helper()
	srv := connectum.New(quiet())
	s.Register(srv.RPC())
	stream, err := srv.Transport().NewClientStream(ctx, echoSpec)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestAUnaryReceiverInProcessWaitsForTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stream := openEcho(t.Context(), t, testservice.Service{})
		res := new(testv1.EchoResponse)
		received := make(chan error, 1)
		go func() { received <- stream.Receive(res) }()
		synctest.Wait()
		select {
		case err := <-received:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		if err := stream.Send(&testv1.EchoRequest{Text: "Ada"}); err != nil {
			t.Fatal(err)
		}
		if err := <-received; err != nil || res.GetText() != "Ada" {
			t.Errorf("got %v, %v", res, err)
		}
	})
}

func TestAUnaryReceiverInProcessThatWaitsIsFreed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		free func(connect.ClientStream, context.CancelFunc)
		code connect.Code
	}{
		"by Close":       {func(s connect.ClientStream, _ context.CancelFunc) { _ = s.Close() }, 0},
		"by its context": {func(_ connect.ClientStream, cancel context.CancelFunc) { cancel() }, connect.CodeCanceled},
		"by CloseSend":   {func(s connect.ClientStream, _ context.CancelFunc) { _ = s.CloseSend() }, connect.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream := openEcho(ctx, t, testservice.Service{})
				received := make(chan error, 1)
				go func() { received <- stream.Receive(new(testv1.EchoResponse)) }()
				synctest.Wait()
				c.free(stream, cancel)
				err := <-received
				if c.code == 0 {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want the end of the context", err)
					}
				} else if connect.CodeOf(err) != c.code {
					t.Errorf("got %v, want %v", err, c.code)
				}
			})
		})
	}
}

func TestAUnaryCallInProcessHasOneMessageEachWay(t *testing.T) {
	t.Parallel()
	stream := openEcho(t.Context(), t, testservice.Service{})
	if err := stream.Send(&testv1.EchoRequest{Text: "Ada"}); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(testv1.EchoRequest)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a second request: %v, want an error that is no end", err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(testv1.EchoRequest)); !errors.Is(err, io.EOF) {
		t.Errorf("a request after the last: %v, want the end", err)
	}
	res := new(testv1.EchoResponse)
	if err := stream.Receive(res); err != nil || res.GetText() != "Ada" {
		t.Errorf("got %v, %v", res, err)
	}
	if err := stream.Receive(res); !errors.Is(err, io.EOF) {
		t.Errorf("a second answer: %v, want the end", err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if err := openClosed(t).Receive(res); !errors.Is(err, io.EOF) {
		t.Errorf("the answer of a closed stream: %v, want the end", err)
	}
}

func openClosed(t *testing.T) connect.ClientStream {
	t.Helper()
	stream := openEcho(t.Context(), t, testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		t.Error("the handler of a closed stream was called")
		return nil, nil
	}})
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// What a caller asked Connect to tell of its own call is not for the handler,
// nor for those that it calls in turn.
func TestAHandlerInProcessDoesNotSeeItsCallersInfo(t *testing.T) {
	t.Parallel()
	inner := connectum.New(quiet())
	testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		info, ok := connect.CallInfoForServerContext(ctx)
		if !ok || info.RequestHeader().Has("Secret") {
			t.Errorf("the inner handler has %v, %v", ok, info)
		}
		info.ResponseHeader().Set("Inner", "yes")
		return new(testv1.EchoResponse), nil
	}}.Register(inner.RPC())
	within := testv1connect.NewTestServiceClient(connect.NewClient(inner.Transport()))

	outer := connectum.New(quiet())
	testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		if _, ok := connect.CallInfoForClientContext(ctx); ok {
			t.Error("the handler has its caller's info")
		}
		info, ok := connect.CallInfoForServerContext(ctx)
		if !ok || info.RequestHeader().Get("Secret") != "42" || info.Spec.Procedure != echoSpec.Procedure {
			t.Errorf("the handler has %v, %v", ok, info)
		}
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		if again, _ := connect.CallInfoForServerContext(derived); again != info {
			t.Error("a derived context has another info")
		}
		info.ResponseHeader().Set("Outer", "yes")
		info.ResponseTrailer().Set("End", "yes")
		return within.Echo(derived, req)
	}}.Register(outer.RPC())
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Secret", "42")
	if _, err := testv1connect.NewTestServiceClient(connect.NewClient(outer.Transport())).Echo(ctx, new(testv1.EchoRequest)); err != nil {
		t.Fatal(err)
	}
	if h := info.ResponseHeader(); h.Get("Outer") != "yes" || h.Has("Inner") || info.ResponseTrailer().Get("End") != "yes" || info.Spec.Procedure != echoSpec.Procedure {
		t.Errorf("the caller has %v", info)
	}
}

type panickyError struct{}

func (panickyError) Error() string { return "panicky" }
func (panickyError) Unwrap() error { panic("looked into") }

// The guard looks into errors, and what they throw then ends no
// caller's goroutine.
func TestAnErrorThatPanicsInProcessIsInternal(t *testing.T) {
	t.Parallel()
	stream := openEcho(t.Context(), t, testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		return nil, panickyError{}
	}})
	if err := stream.Send(new(testv1.EchoRequest)); err != nil {
		t.Fatal(err)
	}
	if err := stream.Receive(new(testv1.EchoResponse)); connect.CodeOf(err) != connect.CodeInternal {
		t.Errorf("got %v, want internal", err)
	}
}

func TestAProcedureUnknownInProcessIsUnimplemented(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	err := connect.NewClient(srv.Transport()).CallUnary(t.Context(), connect.Spec{StreamType: connect.StreamTypeUnary, Procedure: "/no.Such/Method"},
		new(testv1.EchoRequest), new(testv1.EchoResponse))
	if connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("got %v, want unimplemented", err)
	}
}
