package resilience_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// talk opens a stream, sends so many messages with a pause after each, and
// then waits for the verdict.
func talk(ctx context.Context, client *connect.Client, kind connect.StreamType, messages int, pause time.Duration) error {
	c := testv1connect.NewTestServiceClient(client)
	switch kind {
	case connect.StreamTypeClient:
		stream, err := c.Sum(ctx)
		if err != nil {
			return err
		}
		for range messages {
			if err := stream.Send(&testv1.SumRequest{Number: 1}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			time.Sleep(pause)
		}
		_, err = stream.CloseAndReceive()
		return err
	case connect.StreamTypeServer:
		stream, err := c.Count(ctx, &testv1.CountRequest{Count: int32(messages)})
		if err != nil {
			return err
		}
		defer stream.Close()
		return drain(stream.Receive)
	default:
		stream, err := c.Chat(ctx)
		if err != nil {
			return err
		}
		defer stream.Close()
		for range messages {
			if err := stream.Send(&testv1.ChatRequest{}); err != nil {
				break // Receive has the verdict
			}
			if _, err := stream.Receive(); err != nil {
				return err
			}
			time.Sleep(pause)
		}
		_ = stream.CloseSend()
		return drain(stream.Receive)
	}
}

// pausing makes a server whose stream of answers pauses before each, and tells
// how the handlers ended.
func pausing(pause time.Duration, i connectum.Interceptor) func() (*connectum.Server, chan error) {
	return func() (*connectum.Server, chan error) {
		ended := make(chan error, 100)
		srv := connectum.New(connectum.Config{Logger: slog.New(slog.DiscardHandler), Interceptors: []connectum.Interceptor{
			i, connectum.Wrap("watch", func(next connect.ServerFunc) connect.ServerFunc {
				return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
					err := next(ctx, spec, stream)
					ended <- context.Cause(ctx)
					return err
				}
			}),
		}})
		svc := stepping(nil)
		svc.OnCount = func(ctx context.Context, req *testv1.CountRequest, stream testv1connect.TestServiceCountServerStream) error {
			for range req.GetCount() {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := stream.Send(&testv1.CountResponse{}); err != nil {
					return err
				}
			}
			return nil
		}
		svc.OnEcho = func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			time.Sleep(pause)
			return &testv1.EchoResponse{}, nil
		}
		svc.Register(srv.RPC())
		return srv, ended
	}
}

func TestStreamLimitsEndIdleStreams(t *testing.T) {
	t.Parallel()
	limits := resilience.StreamLimits{Idle: 5 * time.Second}
	for _, kind := range kinds[1:] {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, pausing(time.Minute, limits.Interceptor()), func(t *testing.T, d doorway, ended chan error) {
				if !d.has(kind) {
					return
				}
				var group calls
				began := time.Now()
				group.start(func() error { return talk(t.Context(), d.client(), kind, 3, time.Minute) })
				why := <-ended
				if lived := time.Since(began); lived != 5*time.Second {
					t.Errorf("ended after %v", lived)
				}
				connectumtest.WantError(t, why, connect.CodeDeadlineExceeded, connectumtest.Containing("idle for 5s"))
				err := group.wait()[0]
				if d.HalfDuplex && kind == connect.StreamTypeClient {
					// The connection is closed while the client still sends: that it hears why is luck.
					if err == nil {
						t.Error("the client believes in success")
					}
					return
				}
				connectumtest.WantError(t, err, connect.CodeDeadlineExceeded, connectumtest.Containing("idle for 5s"))
			})
			// The control: streams that are alive, for longer in all, and unary calls.
			eachDoor(t, pausing(4*time.Second, limits.Interceptor()), func(t *testing.T, d doorway, _ chan error) {
				if !d.has(kind) {
					return
				}
				if err := talk(t.Context(), d.client(), kind, 5, 4*time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestStreamLimitsEndLongStreams(t *testing.T) {
	t.Parallel()
	limits := resilience.StreamLimits{Idle: 5 * time.Second, Total: 30 * time.Second}
	for _, kind := range kinds[1:] {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, pausing(4*time.Second, limits.Interceptor()), func(t *testing.T, d doorway, ended chan error) {
				if !d.has(kind) {
					return
				}
				var group calls
				began := time.Now()
				group.start(func() error { return talk(t.Context(), d.client(), kind, 100, 4*time.Second) })
				why := <-ended
				if lived := time.Since(began); lived > 30*time.Second || lived < 25*time.Second {
					t.Errorf("ended after %v", lived)
				}
				connectumtest.WantError(t, why, connect.CodeDeadlineExceeded, connectumtest.Containing("longer than its limit of 30s"))
				if err := group.wait()[0]; err == nil {
					t.Error("the client believes in success")
				} else if !d.HalfDuplex || kind != connect.StreamTypeClient {
					connectumtest.WantError(t, err, connect.CodeDeadlineExceeded, connectumtest.Containing("longer than its limit of 30s"))
				}
				// The control.
				if err := talk(t.Context(), d.client(), kind, 5, 4*time.Second); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestStreamLimitsLeaveUnaryCallsAlone(t *testing.T) {
	t.Parallel()
	limits := resilience.StreamLimits{Idle: time.Second, Total: 2 * time.Second}
	eachDoor(t, pausing(10*time.Second, limits.Interceptor()), func(t *testing.T, d doorway, _ chan error) {
		if err := call(t.Context(), d.client(), connect.StreamTypeUnary); err != nil {
			t.Error(err)
		}
		if chain := d.srv.Chain(service + "Echo"); len(chain) != 2 { // the guard, and what watches
			t.Errorf("the chain of a unary method is %v", chain)
		}
		if chain := d.srv.Chain(service + "Chat"); len(chain) != 3 {
			t.Errorf("the chain of a stream is %v", chain)
		}
	})
}

func TestStreamLimitsReportTheirSettings(t *testing.T) {
	t.Parallel()
	wantStartError(t, resilience.StreamLimits{Idle: -1}.Interceptor(), "StreamLimits.Idle is -1ns")
	wantStartError(t, resilience.StreamLimits{Total: -1}.Interceptor(), "StreamLimits.Total is -1ns")
	for limits, want := range map[resilience.StreamLimits]string{
		{}:                                    "idle none, total none",
		{Idle: time.Minute, Total: time.Hour}: "idle 1m0s, total 1h0m0s",
	} {
		if limits.String() != want || limits.IsZero() != (limits.Total == 0) {
			t.Errorf("%v, %v", limits, limits.IsZero())
		}
	}
}

// A stream that has ended is ended no more: nothing is left behind.
func TestStreamLimitsEndWithTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := resilience.StreamLimits{Idle: time.Second, Total: 2 * time.Second}
		client := connectumtest.Client(t, server(nil, limits.Interceptor()))
		for _, kind := range kinds {
			if err := call(t.Context(), client, kind); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	})
}
