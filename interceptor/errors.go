package interceptor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// ErrorsConfig configures [Errors]. The zero value maps nothing and logs
// failures.
type ErrorsConfig struct {
	// Table maps errors of the application to what clients are told; the
	// first rule that matches holds. It is asked about everything but errors
	// that were made for clients already, so also about errors of servers
	// that the handler has called. The default is empty.
	Table []ErrorRule

	// OnFailure is told of failures in place of the log. It is called on the
	// goroutine of the call, by several at once. The default is nobody.
	OnFailure func(ctx context.Context, f Failed)

	// Logger receives failures. The default is [slog.Default].
	Logger *slog.Logger
}

// Failed is a call that a fault of the server has ended.
type Failed struct {
	Spec  connect.Spec
	Told  *connect.Error // what the client is told
	Cause error          // what it is not: the handler's error, or what was thrown
	ID    string         // what the client is told to quote; "" when Told was made by the handler
	Panic bool
	Stack []byte // of a panic; at most ten a second have one
}

// String tells the settings on one line.
func (c ErrorsConfig) String() string {
	to := "logged"
	if c.OnFailure != nil {
		to = "told to OnFailure"
	}
	return fmt.Sprintf("table of %d, failures are %s", len(c.Table), to)
}

// Errors returns the link of a chain that turns whatever comes out of a handler
// into what its client may know, before and after the first message of a
// stream:
//
//	a *connect.Error made here       stays as it is
//	what the table knows             what the table says
//	the end of the call's context    canceled or deadline_exceeded, and no failure
//	a server's that was called       internal with an id
//	everything else, panics          internal with an id
//
// The server's guard does the same but for the table. What Errors adds is that
// the links around it, telemetry and the log, see the verdict and the id, that
// failures come with their cause and stack, and that somebody else may be told
// of them. A failure is what is answered with an id, or with unknown, internal,
// data_loss or unavailable and has a cause.
func Errors(cfg ErrorsConfig) connectum.Interceptor {
	e := &errorLink{cfg: cfg}
	return connectum.Interceptor{Name: "errors", Bind: func(connect.Spec) (connect.ServerInterceptor, error) {
		return e.serve, nil
	}, Done: func([]connect.Spec) error { return e.check() }}
}

// errorLink is safe for concurrent use.
type errorLink struct {
	cfg    ErrorsConfig
	stacks quota
}

func (e *errorLink) check() error {
	var faults []error
	for i, r := range e.cfg.Table {
		switch {
		case r.match == nil:
			faults = append(faults, fmt.Errorf("ErrorsConfig.Table[%d] is empty: make rules with ErrorIs and ErrorAs", i))
		case r.fault != "":
			faults = append(faults, fmt.Errorf("ErrorsConfig.Table[%d]: %s", i, r.fault))
		}
	}
	return errors.Join(faults...)
}

func (e *errorLink) serve(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		returned := false
		defer func() {
			if !returned {
				err = e.thrown(ctx, spec, recover())
			}
		}()
		if err = next(ctx, spec, stream); err != nil {
			err = e.verdict(ctx, spec, err)
		}
		returned = true
		return err
	}
}

// thrown makes the verdict of a call whose handler panicked. runtime.Goexit,
// which throws nil, goes on whatever one does.
func (e *errorLink) thrown(ctx context.Context, spec connect.Spec, value any) error {
	if value == nil {
		return nil
	}
	err, ok := value.(error)
	if ok && errors.Is(err, http.ErrAbortHandler) {
		panic(value) // a handler's way to cut the connection
	}
	cause := fmt.Errorf("panic: %v", value)
	if ok {
		cause = fmt.Errorf("panic: %w", err)
	}
	f := &connectum.Failure{Err: cause, Panic: true}
	if e.stacks.allow() {
		f.Stack = debug.Stack()
	}
	return e.mask(ctx, spec, f)
}

// verdict decides what the client is told of err.
func (e *errorLink) verdict(ctx context.Context, spec connect.Spec, err error) error {
	made, _ := errors.AsType[*connect.Error](err)
	if made != nil && !made.IsRemote() && isCode(made.Code()) {
		e.note(ctx, spec, made)
		return err
	}
	for _, r := range e.cfg.Table {
		if told := r.match(err); told != nil {
			if told.IsRemote() || !isCode(told.Code()) {
				break
			}
			if told.Unwrap() == nil {
				told = told.WithCause(err)
			}
			e.note(ctx, spec, told)
			return told
		}
	}
	if told := ended(ctx, err); told != nil {
		return told
	}
	return e.mask(ctx, spec, &connectum.Failure{Err: err})
}

// mask keeps a failure from the client, which gets an id instead.
func (e *errorLink) mask(ctx context.Context, spec connect.Spec, f *connectum.Failure) error {
	f.ID = strconv.FormatUint(rand.Uint64(), 36)
	told := connect.Errorf(connect.CodeInternal, "internal error, id %s", f.ID).WithCause(f)
	e.report(ctx, Failed{Spec: spec, Told: told, Cause: f.Err, ID: f.ID, Panic: f.Panic, Stack: f.Stack})
	return told
}

// note reports an error made for the client that has more to tell the operator.
func (e *errorLink) note(ctx context.Context, spec connect.Spec, told *connect.Error) {
	cause := told.Unwrap()
	if cause == nil {
		return
	}
	switch told.Code() {
	case connect.CodeUnknown, connect.CodeInternal, connect.CodeDataLoss, connect.CodeUnavailable:
	default:
		return
	}
	if _, masked := cause.(*connectum.Failure); masked || ctx.Err() != nil { //nolint:errorlint // as the one who masked it made it
		return
	}
	e.report(ctx, Failed{Spec: spec, Told: told, Cause: cause})
}

func (e *errorLink) report(ctx context.Context, f Failed) {
	if e.cfg.OnFailure != nil {
		e.cfg.OnFailure(ctx, f)
		return
	}
	log := orDefault(e.cfg.Logger)
	attrs := []slog.Attr{slog.String("procedure", f.Spec.Procedure), slog.String("code", f.Told.Code().String())}
	if f.ID != "" {
		attrs = append(attrs, slog.String("error_id", f.ID))
	}
	what := "call failed"
	if f.Panic {
		what = "handler panicked"
	}
	attrs = append(attrs, slog.String("error", clip(fmt.Sprint(f.Cause), maxText))) // Sprint survives an Error that panics
	if remote, ok := errors.AsType[*connect.Error](f.Cause); ok && remote.IsRemote() {
		attrs = append(attrs, slog.String("remote_code", remote.Code().String()))
	}
	if len(f.Stack) > 0 {
		attrs = append(attrs, slog.String("stack", string(f.Stack)))
	}
	log.LogAttrs(context.WithoutCancel(ctx), slog.LevelError, what, attrs...)
}

// maxText bounds what a peer or a handler may put into one attribute of the
// log, in bytes.
const maxText = 1 << 10

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
