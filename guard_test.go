package connectum_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

const secret = "password=hunter2"

// misbehave is a service whose every method ends as f says; streams send one
// message first when after is set.
func misbehave(after bool, f func(ctx context.Context) error) testservice.Service {
	return testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) { return nil, f(ctx) },
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			return nil, f(ctx)
		},
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if after {
				if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
					return err
				}
			}
			return f(ctx)
		},
		OnChat: func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
			if after {
				if err := s.Send(&testv1.ChatResponse{Number: 1}); err != nil {
					return err
				}
			}
			return f(ctx)
		},
	}
}

// outcomes calls every method and returns how each ended.
func outcomes(ctx context.Context, t *testing.T, c *connect.Client, bidi bool) map[string]error {
	client := testv1connect.NewTestServiceClient(c)
	out := map[string]error{}
	_, out["unary"] = client.Echo(ctx, &testv1.EchoRequest{Text: "x"})
	sum, err := client.Sum(ctx)
	if err == nil {
		_ = sum.Send(&testv1.SumRequest{Number: 1}) // its error, if any, is Receive's too
		_, err = sum.CloseAndReceive()
	}
	out["client stream"] = err
	count, err := client.Count(ctx, &testv1.CountRequest{Count: 1})
	if err == nil {
		for err == nil {
			_, err = count.Receive()
		}
	}
	out["server stream"] = err
	if bidi {
		chat, err := client.Chat(ctx)
		if err == nil {
			_ = chat.CloseSend()
			for err == nil {
				_, err = chat.Receive()
			}
		}
		out["bidi stream"] = err
	}
	for kind, err := range out {
		if errors.Is(err, io.EOF) {
			out[kind] = nil
		}
	}
	return out
}

func speaksBidi(dialect string) bool { return !strings.HasSuffix(dialect, "h1") }

// Behaviours 78, 81 and 82; faults 1d: what was not made for clients never
// reaches them, by any door, in any kind of call, before and after the first
// message; and the process lives.
func TestClientsSeeOnlyErrorsThatWereMadeForThem(t *testing.T) {
	t.Parallel()
	peer := connect.NewError(connect.CodePermissionDenied, secret).WithRemote()
	var nilError *connect.Error
	for name, c := range map[string]struct {
		end  func(context.Context) error
		code connect.Code
		text string
	}{
		"plain error":  {func(context.Context) error { return errors.New(secret) }, connect.CodeInternal, "internal error, id "},
		"panic":        {func(context.Context) error { panic(secret) }, connect.CodeInternal, "internal error, id "},
		"panic error":  {func(context.Context) error { panic(errors.New(secret)) }, connect.CodeInternal, "internal error, id "},
		"nil deref":    {func(context.Context) error { return fmt.Errorf(secret+"%d", *new(*int)) }, connect.CodeInternal, "internal error, id "},
		"peer's error": {func(context.Context) error { return fmt.Errorf("call: %w", peer) }, connect.CodeInternal, "internal error, id "},
		"typed nil":    {func(context.Context) error { return nilError }, connect.CodeInternal, "internal error, id "},
		"invalid code": {func(context.Context) error { return connect.NewError(99, secret) }, connect.CodeInternal, "internal error, id "},
		"hidden cause": {func(context.Context) error {
			return connect.NewError(connect.CodeNotFound, "no such thing").WithCause(errors.New(secret))
		}, connect.CodeNotFound, "no such thing"},
		"wrapped": {func(context.Context) error {
			return fmt.Errorf(secret+": %w", connect.NewError(connect.CodeAborted, "try again"))
		}, connect.CodeAborted, "try again"},
		"cancelled":     {func(context.Context) error { return fmt.Errorf(secret+": %w", context.Canceled) }, connect.CodeCanceled, "the call was cancelled"},
		"own deadline":  {func(context.Context) error { return fmt.Errorf(secret+": %w", context.DeadlineExceeded) }, connect.CodeDeadlineExceeded, "the deadline of the call has passed"},
		"on purpose":    {func(context.Context) error { return connect.NewError(connect.CodeCanceled, "by me") }, connect.CodeCanceled, "by me"},
		"joined errors": {func(context.Context) error { return errors.Join(errors.New(secret), errors.New("y")) }, connect.CodeInternal, "internal error, id "},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", name, after), func(t *testing.T) {
				t.Parallel()
				var log logbook
				cfg := quiet()
				cfg.Logger = log.logger()
				in := serving(t, cfg, misbehave(after, func(ctx context.Context) error { return c.end(ctx) }))
				for dialect, client := range in.dialects() {
					for kind, err := range outcomes(t.Context(), t, client, speaksBidi(dialect)) {
						got, ok := errors.AsType[*connect.Error](err)
						if !ok || got.Code() != c.code || !strings.HasPrefix(got.Message(), c.text) {
							t.Errorf("%s, %s: %v, want %v: %s", dialect, kind, err, c.code, c.text)
						}
						if err != nil && strings.Contains(err.Error(), secret) {
							t.Errorf("%s, %s: the secret leaked: %v", dialect, kind, err)
						}
						if id, ok := strings.CutPrefix(got.Message(), "internal error, id "); ok && !strings.Contains(log.String(), id) {
							t.Errorf("%s, %s: the log does not know the id %s", dialect, kind, id)
						}
					}
				}
				if in.InFlight() != 0 {
					eventually(t, "no call in flight", func() bool { return in.InFlight() == 0 })
				}
				if c.code == connect.CodeInternal && name != "typed nil" && !strings.Contains(log.String(), "hunter2") {
					t.Error("the operator does not see the cause")
				}
				if c.code == connect.CodeCanceled && strings.Contains(log.String(), "level=ERROR") {
					t.Error("a cancelled call is logged as a failure")
				}
			})
		}
	}
}

// Behaviours 83 and 84, faults 1d: the server's own limit, by the fake clock.
func TestUnaryCallsEndAtTheServersLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler func(ctx context.Context) error
		client  time.Duration
		takes   time.Duration
		code    connect.Code
		text    string
	}{
		"heeds the context": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0, 30 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"heeds nothing":     {func(ctx context.Context) error { time.Sleep(40 * time.Second); return nil }, 0, 40 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"polls":             {func(ctx context.Context) error { time.Sleep(31 * time.Second); return ctx.Err() }, 0, 31 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"a child context": {func(ctx context.Context) error {
			c, stop := context.WithCancel(ctx)
			defer stop()
			<-c.Done()
			return c.Err()
		}, 0, 30 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"client wants less": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, time.Second, time.Second, connect.CodeDeadlineExceeded, "deadline"},
		"client wants more": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, time.Hour, 30 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"is in time":        {func(ctx context.Context) error { time.Sleep(29 * time.Second); return nil }, 0, 29 * time.Second, 0, ""},
		"fails in time": {func(ctx context.Context) error {
			time.Sleep(time.Second)
			return connect.NewError(connect.CodeAborted, "no")
		}, 0, time.Second, connect.CodeAborted, "no"},
		"fails after time": {func(ctx context.Context) error { <-ctx.Done(); return errors.New("driver: " + secret) }, 0, 30 * time.Second, connect.CodeDeadlineExceeded, "limit of 30s"},
		"is told the instant": {func(ctx context.Context) error {
			d, ok := ctx.Deadline()
			if !ok || time.Until(d) != 30*time.Second {
				return connect.NewError(connect.CodeDataLoss, "wrong")
			}
			return nil
		}, 0, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := connectum.New(quiet())
				testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
					return &testv1.EchoResponse{}, c.handler(ctx)
				}}.Register(srv.RPC())
				ctx := t.Context()
				if c.client > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.client)
					defer cancel()
				}
				began := time.Now()
				_, err := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Echo(ctx, &testv1.EchoRequest{})
				if took := time.Since(began); took != c.takes {
					t.Errorf("took %v, want %v", took, c.takes)
				}
				switch {
				case c.code == 0 && err != nil:
					t.Error(err)
				case c.code != 0 && (connect.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text)):
					t.Errorf("%v, want %v: %s", err, c.code, c.text)
				}
			})
		})
	}
}

func TestALimitForAProcedureWinsOverTheGeneralOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.Limits.PerProcedure = map[string]connectum.ProcedureLimits{
			"*":                                  {Timeout: 3 * time.Second},
			"connectum.test.v1.TestService/*":    {Timeout: 2 * time.Second},
			"connectum.test.v1.TestService/Echo": {Timeout: -1},
		}
		srv := connectum.New(cfg)
		misbehave(false, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }).Register(srv.RPC())
		client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
		began := time.Now()
		stream, err := client.Count(t.Context(), &testv1.CountRequest{})
		if err == nil {
			_, err = stream.Receive()
		}
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded || time.Since(began) != 2*time.Second {
			t.Errorf("a stream with a limit: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began = time.Now()
		if _, err := client.Echo(ctx, &testv1.EchoRequest{}); time.Since(began) != time.Hour {
			t.Errorf("a call without a limit: %v after %v", err, time.Since(began))
		}
	})
}

// A client that leaves ends the handler's context, by every door.
func TestAClientThatLeavesEndsTheHandlersContext(t *testing.T) {
	t.Parallel()
	began, ended := make(chan string, 1), make(chan error, 1)
	in := serving(t, quiet(), testservice.Service{
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			began <- req.GetText()
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}})
	for dialect, client := range in.dialects() {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			_, err := testv1connect.NewTestServiceClient(client).Echo(ctx, &testv1.EchoRequest{Text: dialect})
			over <- err
		}()
		<-began
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the handler's context ended with %v", dialect, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the handler's context lives on", dialect)
		}
		if err := <-over; connect.CodeOf(err) != connect.CodeCanceled && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the client got %v", dialect, err)
		}
	}
}

// What a handler leaves behind learns that the call is over, also if it has not
// asked before.
func TestTheContextEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 1)
	in := serving(t, quiet(), testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		if ctx.Err() != nil {
			t.Error(ctx.Err())
		}
		contexts <- ctx
		switch req.GetText() {
		case "fails":
			return nil, connect.NewError(connect.CodeAborted, "no")
		case "panics":
			panic("no")
		}
		return &testv1.EchoResponse{}, nil
	}})
	for dialect, client := range in.dialects() {
		for how, want := range map[string]connect.Code{"returns": 0, "fails": connect.CodeAborted, "panics": connect.CodeInternal} {
			for _, errFirst := range []bool{false, true} {
				_, err := testv1connect.NewTestServiceClient(client).Echo(context.Background(), &testv1.EchoRequest{Text: how})
				if err != nil && connect.CodeOf(err) != want || err == nil && want != 0 {
					t.Fatalf("%s, a handler that %s: %v", dialect, how, err)
				}
				ctx := <-contexts
				eventually(t, dialect+": the context has ended", func() bool { return !errFirst || ctx.Err() == context.Canceled })
				select {
				case <-ctx.Done():
				case <-time.After(patience):
					t.Fatalf("%s: the context of a handler that %s lives on", dialect, how)
				}
				if ctx.Err() != context.Canceled {
					t.Errorf("%s, a handler that %s: %v", dialect, how, ctx.Err())
				}
			}
		}
	}
}

// What panics beside the RPCs is recovered too, and http.ErrAbortHandler keeps
// its meaning.
func TestPlainHandlersAreRecovered(t *testing.T) {
	t.Parallel()
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	srv := connectum.New(cfg)
	srv.Handle("/panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(secret) }))
	srv.Handle("/late", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		panic(secret)
	}))
	srv.Handle("/abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	in := run(t, srv)
	for name, c := range map[string]*http.Client{"h1": in.h1(), "h2": in.h2()} {
		res, err := c.Get(in.url("/panic"))
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, res); res.StatusCode != 500 || !strings.HasPrefix(got, "internal error, id ") || strings.Contains(got, secret) {
			t.Errorf("%s: %d %q", name, res.StatusCode, got)
		}
		if res, err = c.Get(in.url("/late")); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err == nil || strings.Contains(string(b), secret) {
			t.Errorf("%s: a torn answer reads %q without an error", name, b)
		}
		_ = res.Body.Close()
		if res, err := c.Get(in.url("/abort")); err == nil {
			t.Errorf("%s: an aborted call answered %d", name, res.StatusCode)
			_ = res.Body.Close()
		}
	}
	if n := strings.Count(log.String(), secret); n != 4 {
		t.Errorf("the log has %d panics, want 4", n)
	}
}

// unreadable is an error that panics when it is read.
type unreadable struct{}

func (unreadable) Error() string { panic(secret) }

func TestAnErrorThatPanicsIsMasked(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Logger: slog.New(slog.DiscardHandler)})
	misbehave(true, func(context.Context) error { return unreadable{} }).Register(srv.RPC())
	for kind, err := range outcomes(t.Context(), t, connect.NewClient(srv.Transport()), true) {
		if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
