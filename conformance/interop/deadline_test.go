package interop_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// The deadline of the client reaches the handler, ends its context, and is what
// both sides are told.
func TestGRPCGoSetsDeadlines(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 10)
	svc := testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			at, _ := ctx.Deadline()
			left <- time.Until(at)
			<-ctx.Done()
			return nil, ctx.Err()
		},
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			at, _ := ctx.Deadline()
			left <- time.Until(at)
			<-ctx.Done()
			return ctx.Err()
		},
	}
	each(t, connectum.Config{}, svc, func(t *testing.T, c grpcclient.Client) {
		for name, call := range map[string]func(ctx context.Context) error{
			"unary": func(ctx context.Context) error {
				_, err := c.Echo(ctx, &testv1.EchoRequest{})
				return err
			},
			"stream": func(ctx context.Context) error {
				s, err := c.Count(ctx, &testv1.CountRequest{})
				if err == nil {
					_, err = s.Recv()
				}
				return err
			},
		} {
			deadlines(t, name, left, call)
		}
	})
}

// deadlines makes a call whose handler tells left how long it has, with more and
// more time: on a machine that is busy a deadline may be over before the handler
// begins.
func deadlines(t *testing.T, name string, left <-chan time.Duration, call func(context.Context) error) {
	t.Helper()
	for given := 100 * time.Millisecond; given < patience; given *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), given)
		err := call(ctx)
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case d := <-left: // of this call, or of one with less
			if d > given {
				t.Errorf("%s: the handler had %v, the client gave %v", name, d, given)
			}
			return
		default:
		}
	}
	t.Errorf("%s: no handler was called within its deadline", name)
}

// The server's own bound on unary calls is told as deadline_exceeded, with the
// client's deadline far away.
func TestGRPCGoIsToldOfTheServersOwnTimeLimit(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	each(t, connectum.Config{Limits: connectum.Limits{Timeout: 50 * time.Millisecond}}, svc, func(t *testing.T, c grpcclient.Client) {
		if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

// A client that leaves ends the handler's context, and the connection goes on.
func TestGRPCGoCancels(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 10)
	svc := testservice.Service{OnChat: func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
		if err := s.Send(&testv1.ChatResponse{}); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	each(t, connectum.Config{}, svc, func(t *testing.T, c grpcclient.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := c.Chat(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := s.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("the client sees %v", err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the handler saw %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the handler goes on")
		}
		unary(t, c)
	})
}
