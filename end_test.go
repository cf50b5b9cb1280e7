package connectum_test

import (
	"context"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestEndUnblocksAHandlerAndTellsItsClientWhy(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	srv := connectum.New(quiet())
	testservice.Service{OnChat: func(ctx context.Context, stream testv1connect.TestServiceChatServerStream) error {
		if !connectum.End(ctx, why) {
			t.Error("End does not know the call")
		}
		if context.Cause(ctx) != error(why) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
		_, err := stream.Receive() // the client sends nothing
		return err
	}}.Register(srv.RPC())
	run := doors.Start(t, srv, doors.Config{})
	for _, d := range run.Doors() {
		if d.HalfDuplex {
			continue
		}
		stream, err := testv1connect.NewTestServiceClient(run.Client(t, d)).Chat(t.Context())
		if err == nil && stream.SendHeaders() == nil {
			_, err = stream.Receive()
		}
		if connect.CodeOf(err) != connect.CodeAborted {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	if connectum.End(t.Context(), why) {
		t.Error("End of no call")
	}
}

// What comes next on the connection is not touched by it.
func TestEndLeavesTheConnectionToTheNextCall(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	in := serving(t, quiet(), testservice.Service{
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{}); err != nil {
				return err
			}
			connectum.End(ctx, why)
			<-ctx.Done()
			return ctx.Err()
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			if _, err := s.Receive(); err != nil {
				return nil, err
			}
			connectum.End(ctx, why)
			_, err := s.Receive() // the client sends no more
			return nil, err
		},
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{}, ctx.Err()
		},
	})
	for name, client := range in.dialects() {
		c := testv1connect.NewTestServiceClient(client)
		for range 5 {
			count, err := c.Count(t.Context(), &testv1.CountRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = count.Receive()
			}
			_ = count.Close()
			if connect.CodeOf(err) != connect.CodeAborted {
				t.Errorf("%s: the stream of responses ended with %v", name, err)
			}
			if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
				t.Errorf("%s: the call after it: %v", name, err)
			}
			sum, err := c.Sum(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = sum.Send(&testv1.SumRequest{})
			// A client that writes to a stream that has ended may be told just that.
			if _, err := sum.CloseAndReceive(); err == nil {
				t.Errorf("%s: the stream of requests did not end", name)
			}
			if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
				t.Errorf("%s: the call after that: %v", name, err)
			}
		}
	}
}

// An end that comes as the handler returns, or later, is none: net/http, whose
// deadlines may not be set any more, would end the process (a trap: nil
// dereference in SetReadDeadline after the handler).
func TestEndThatComesTooLateHarmsNobody(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	var late sync.WaitGroup
	srv := connectum.New(quiet())
	testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			late.Go(func() {
				for range 20 {
					connectum.End(ctx, why)
				}
			})
			return &testv1.EchoResponse{}, nil
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			late.Go(func() {
				for range 20 {
					connectum.End(ctx, why)
				}
			})
			_, err := s.Receive()
			return &testv1.SumResponse{}, err
		},
	}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, c *connect.Client) {
		client := testv1connect.NewTestServiceClient(c)
		for range 100 {
			if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); err != nil && connect.CodeOf(err) != connect.CodeAborted {
				t.Fatal(err)
			}
			sum, err := client.Sum(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = sum.Send(&testv1.SumRequest{})
			_, _ = sum.CloseAndReceive() // ended or not
		}
		late.Wait()
		if _, err := client.Get(t.Context(), &testv1.GetRequest{}); err != nil {
			t.Errorf("the call after it: %v", err)
		}
	})
}
