package connectum_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
)

// What Outcome says is what the client is told, behind every door and for every
// kind of call.
func TestOutcomeIsWhatTheClientIsTold(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(ctx context.Context) error{
		"success":          func(context.Context) error { return nil },
		"made for clients": func(context.Context) error { return connect.NewError(connect.CodeNotFound, "no such thing") },
		"with a cause": func(context.Context) error {
			return fmt.Errorf("x: %w", connect.NewError(connect.CodeAborted, "again"))
		},
		"not made for them":  func(context.Context) error { return errors.New(secret) },
		"a downstream's":     func(context.Context) error { return connect.NewError(connect.CodeNotFound, "theirs").WithRemote() },
		"no such code":       func(context.Context) error { return connect.NewError(99, "x") },
		"the end of another": func(context.Context) error { return context.DeadlineExceeded },
		"cancelled":          func(context.Context) error { return context.Canceled },
		"ended from outside": func(ctx context.Context) error {
			connectum.End(ctx, connect.NewError(connect.CodeUnavailable, "go away"))
			<-ctx.Done()
			return ctx.Err()
		},
		"overdue":             func(ctx context.Context) error { <-ctx.Done(); return errors.New("gave up") },
		"overdue and content": func(ctx context.Context) error { <-ctx.Done(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := make(chan connect.Code, 10)
			cfg := quiet()
			if strings.HasPrefix(name, "overdue") {
				cfg.Limits.PerProcedure = map[string]connectum.ProcedureLimits{"*": {Timeout: 20 * time.Millisecond}}
			}
			cfg.Interceptors = []connectum.Interceptor{connectum.Wrap("watch", func(next connect.ServerFunc) connect.ServerFunc {
				return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
					err := next(ctx, spec, stream)
					said <- connectum.Outcome(ctx, err)
					return err
				}
			})}
			srv := connectum.New(cfg)
			misbehave(true, f).Register(srv.RPC())
			doors.Each(t, srv, func(t *testing.T, c *connect.Client) {
				told := outcomes(t.Context(), t, c, false)
				for _, kind := range []string{"unary", "client stream", "server stream"} { // in the order of the calls
					var want connect.Code
					if err := told[kind]; err != nil {
						want = connect.CodeOf(err)
					}
					if got := <-said; got != want {
						t.Errorf("%s: Outcome says %v, the client is told %v", kind, got, want)
					}
				}
			})
		})
	}
}

// A line of the server about a call is logged with the context that an
// interceptor gave.
func TestTheServerLogsWithTheGivenContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	var text bytes.Buffer
	cfg := quiet()
	cfg.Logger = slog.New(contextual{slog.NewTextHandler(&text, nil), func(ctx context.Context) any { return ctx.Value(key{}) }})
	cfg.Interceptors = []connectum.Interceptor{connectum.Wrap("mark", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			ctx = context.WithValue(ctx, key{}, "marked")
			connectum.LogWith(ctx)
			return next(ctx, spec, stream)
		}
	})}
	srv := connectum.New(cfg)
	misbehave(false, func(context.Context) error { return errors.New(secret) }).Register(srv.RPC())
	_ = outcomes(t.Context(), t, connect.NewClient(srv.Transport()), false)
	if lines := strings.Count(text.String(), "call failed"); lines == 0 || strings.Count(text.String(), "value=marked") != lines {
		t.Error(text.String())
	}
	connectum.LogWith(t.Context()) // of no call: nothing
}

// contextual adds what it finds in the context.
type contextual struct {
	slog.Handler
	find func(context.Context) any
}

func (c contextual) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.Any("value", c.find(ctx)))
	return c.Handler.Handle(ctx, r)
}
