package connectum_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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

// Over HTTP/1.1 the next call comes on the same connection.
func TestEndLeavesTheConnectionAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := connect.NewError(connect.CodeAborted, "ended by a test")
		srv := connectum.New(quiet())
		testservice.Service{OnCount: func(ctx context.Context, _ *testv1.CountRequest, _ testv1connect.TestServiceCountServerStream) error {
			connectum.End(ctx, why)
			time.Sleep(time.Millisecond) // until everything else is idle
			return ctx.Err()
		}, OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{}, ctx.Err()
		}}.Register(srv.RPC())
		run := doors.Start(t, srv, doors.Config{Memory: true})
		for _, d := range run.Doors() {
			client := testv1connect.NewTestServiceClient(run.Client(t, d))
			for range 3 {
				stream, err := client.Count(t.Context(), &testv1.CountRequest{})
				if err == nil {
					_, err = stream.Receive()
					_ = stream.Close()
				}
				if connect.CodeOf(err) != connect.CodeAborted {
					t.Errorf("%s: %v", d.Name, err)
				}
				if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
					t.Errorf("%s: the next call: %v", d.Name, err)
				}
			}
		}
	})
}
