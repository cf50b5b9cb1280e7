package connectum_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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

// Over a socket a few messages are under way, so two sides may both send first;
// and a side may use its message again as soon as Send has returned.
func TestBothSidesMaySendFirst(t *testing.T) {
	t.Parallel()
	const n = 100
	srv := connectum.New(quiet())
	testservice.Service{OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
		msg := new(testv1.ChatResponse)
		for i := range n {
			msg.Number = int64(i)
			if err := s.Send(msg); err != nil {
				return err
			}
		}
		for i := range n {
			req, err := s.Receive()
			if err != nil || req.GetNumber() != int64(i) {
				return connect.Errorf(connect.CodeInvalidArgument, "%d is %v, %v", i, req, err)
			}
		}
		return nil
	}}.Register(srv.RPC())
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		chat, err := testv1connect.NewTestServiceClient(client).Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		msg := new(testv1.ChatRequest)
		for i := range n {
			msg.Number = int64(i)
			if err := chat.Send(msg); err != nil {
				t.Fatal(err)
			}
		}
		_ = chat.CloseSend()
		for i := range n {
			if res, err := chat.Receive(); err != nil || res.GetNumber() != int64(i) {
				t.Fatalf("%d is %v, %v", i, res, err)
			}
		}
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("the end: %v", err)
		}
	})
}

func TestHeadersComeWithTheFirstMessage(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
		info, _ := connect.CallInfoForServerContext(ctx)
		info.ResponseHeader().Set("X-Early", "yes")
		if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
			return err
		}
		info.ResponseHeader().Set("X-Late", "lost")
		info.ResponseTrailer().Set("X-End", "yes")
		<-ctx.Done()
		return nil
	}}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ctx, info := connect.NewClientContext(ctx)
		stream, err := testv1connect.NewTestServiceClient(client).Count(ctx, &testv1.CountRequest{Count: 1})
		if err == nil {
			_, err = stream.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		if h := info.ResponseHeader(); h.Get("X-Early") != "yes" || h.Has("X-Late") {
			t.Errorf("header after the first message: %v", h)
		}
	})
}

// A handler does not run ahead of a client that reads nothing.
func TestAnInProcessStreamIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 10
		sent := 0
		srv := connectum.New(quiet())
		testservice.Service{OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
			for {
				if err := s.Send(&testv1.ChatResponse{Text: strings.Repeat("x", size)}); err != nil {
					return err
				}
				sent++
			}
		}}.Register(srv.RPC())
		ctx, cancel := context.WithCancel(t.Context())
		chat, err := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Chat(ctx)
		if err == nil {
			_, err = chat.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if sent*size > 512<<10 || sent*size < 64<<10 {
			t.Errorf("%d messages of %d bytes are under way", sent, size)
		}
		cancel()
		synctest.Wait()
		if srv.InFlight() != 0 {
			t.Errorf("%d calls in flight after the client has left", srv.InFlight())
		}
	})
}

// Nor with messages that are empty, which are not for nothing either; and when
// its client leaves it is told by its next Send, also while there is room.
func TestAnInProcessStreamOfNothingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent, ended := 0, make(chan error, 1)
		srv := connectum.New(quiet())
		testservice.Service{
			OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
				for {
					if err := s.Send(new(testv1.ChatResponse)); err != nil {
						ended <- err
						return err
					}
					sent++
				}
			},
			OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
				<-ctx.Done()
				ended <- s.Send(new(testv1.CountResponse))
				return ctx.Err()
			},
		}.Register(srv.RPC())
		client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
		ctx, cancel := context.WithCancel(t.Context())
		chat, err := client.Chat(ctx)
		if err == nil {
			_, err = chat.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if sent > 10_000 || sent < 100 {
			t.Errorf("%d empty messages are under way", sent)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error")
		}

		ctx, cancel = context.WithCancel(t.Context())
		if _, err := client.Count(ctx, &testv1.CountRequest{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := <-ended; err == nil {
			t.Error("a message for a client that has left was taken")
		}
	})
}

// The end of a client's own context is told alike behind every door: as canceled
// or deadline_exceeded, also when the handler has not looked.
func TestTheEndOfAClientsContextIsToldAlike(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code connect.Code
		end  func(ctx context.Context) (context.Context, context.CancelFunc)
	}{
		"cancel": {connect.CodeCanceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}},
		"deadline": {connect.CodeDeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := connectum.New(quiet())
				testservice.Service{
					OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
						time.Sleep(2 * time.Second) // it looks at no context
						return &testv1.EchoResponse{}, nil
					},
					OnChat: func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
						<-ctx.Done()
						return ctx.Err()
					},
				}.Register(srv.RPC())
				r := doors.Start(t, srv, doors.Config{Memory: true})
				for _, d := range r.Doors() {
					if d.HalfDuplex {
						continue
					}
					want := func(what string, err error) {
						t.Helper()
						if connect.CodeOf(err) != c.code {
							t.Errorf("%s: %s: %v, want %v", d.Name, what, err, c.code)
						}
					}
					client := testv1connect.NewTestServiceClient(r.Client(t, d))
					ctx, cancel := c.end(t.Context())
					_, err := client.Echo(ctx, &testv1.EchoRequest{})
					want("unary", err)
					_, err = client.Get(ctx, &testv1.GetRequest{})
					want("a call that begins later", err)
					cancel()

					ctx, cancel = c.end(t.Context())
					chat, err := client.Chat(ctx)
					if err == nil {
						err = chat.Send(&testv1.ChatRequest{})
					}
					if err != nil {
						t.Fatal(err)
					}
					_, err = chat.Receive()
					want("receive", err)
					if err := chat.Send(&testv1.ChatRequest{}); !errors.Is(err, io.EOF) { // a network may have seen the end of the stream
						want("send", err)
					}
					_, err = chat.Receive()
					want("receive again", err)
					cancel()
				}
			})
		})
	}
}

// The server may have stopped between the opening of a call and its beginning.
func TestAnInProcessCallThatBeginsAfterTheStopIsRefused(t *testing.T) {
	t.Parallel()
	for _, stopped := range []bool{false, true} {
		handled := false
		in := serving(t, quiet(), testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			handled = true
			return &testv1.EchoResponse{}, nil
		}})
		stream, err := in.Transport().NewClientStream(t.Context(), connect.Spec{Procedure: echoPath, StreamType: connect.StreamTypeUnary})
		if err != nil {
			t.Fatal(err)
		}
		if stopped {
			if err := in.stop(); err != nil {
				t.Fatal(err)
			}
		}
		if err = stream.Send(&testv1.EchoRequest{}); err == nil {
			err = stream.Receive(&testv1.EchoResponse{})
		}
		if (connect.CodeOf(err) == connect.CodeUnavailable) != stopped || handled == stopped {
			t.Errorf("stopped %v: %v, and the handler has run: %v", stopped, err, handled)
		}
		_ = stream.Close()
	}
}
