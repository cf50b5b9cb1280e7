package connectum_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestAServerStreamRefusedEarlyTellsWhy(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Interceptors = []connectum.Interceptor{connectum.Wrap("refuse", func(connect.ServerFunc) connect.ServerFunc {
		return func(context.Context, connect.Spec, connect.ServerStream) error {
			return connect.NewError(connect.CodeUnauthenticated, "who are you?")
		}
	})}
	srv := connectum.New(cfg)
	testservice.Service{}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		for range 50 {
			stream, err := testv1connect.NewTestServiceClient(client).Count(t.Context(), &testv1.CountRequest{Count: 1})
			if err == nil {
				_, err = stream.Receive()
			}
			if connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Fatalf("error %v, want unauthenticated", err)
			}
		}
	})
}

// What a handler hides stays hidden in-process too: an io.EOF of its own is no
// clean end.
func TestCausesStayWithTheServer(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{OnCount: func(context.Context, *testv1.CountRequest, testv1connect.TestServiceCountServerStream) error {
		return io.EOF
	}}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		stream, err := testv1connect.NewTestServiceClient(client).Count(t.Context(), &testv1.CountRequest{Count: 1})
		if err == nil {
			_, err = stream.Receive()
		}
		if connect.CodeOf(err) != connect.CodeInternal || errors.Is(err, io.EOF) {
			t.Errorf("error %v, want internal that is no EOF", err)
		}
	})
}

func TestAnAbortedCallIsUnavailableInProcess(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		panic(http.ErrAbortHandler)
	}}.Register(srv.RPC())
	_, err := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Echo(t.Context(), new(testv1.EchoRequest))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("error %v, want unavailable", err)
	}
}
