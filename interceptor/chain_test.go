package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/resilience"
)

var errStock = errors.New("stock: shelf 7 of secret-warehouse is empty")

// scenario is what a handler does and what its client gets. The name of the
// request chooses it, so that one server has them all.
type scenario struct {
	name    string
	do      connectumtest.Step // nil: the handler is not reached
	code    connect.Code       // 0: success
	message string             // pattern
	answers []string
	detail  connectumtest.Aspect
	failure string // text of the failure that is reported, "" for none
	streams bool   // only where answers are streamed
}

const anID = `^internal error, id [a-z0-9]+$`

func fail(err error) connectumtest.Step { return connectumtest.Step(connectumtest.Fail(err)) }

func throw(value any) connectumtest.Step {
	return func(context.Context, connect.Spec, connect.ServerStream) error { panic(value) }
}

func send(text string) connectumtest.Step {
	return func(_ context.Context, spec connect.Spec, stream connect.ServerStream) error {
		return stream.Send(response(spec.StreamType, text))
	}
}

var scenarios = []scenario{
	{name: "fine", do: send("hello"), answers: []string{"hello"}},
	// 78, 81: an error that was not made for clients.
	{name: "plain", do: fail(errors.New("secret")), code: connect.CodeInternal, message: anID, failure: "secret"},
	{name: "wrapped", do: fail(fmt.Errorf("save: %w", io.ErrUnexpectedEOF)), code: connect.CodeInternal, message: anID, failure: "save: unexpected EOF"},
	// 82: after the first message too.
	{name: "plain later", do: send("one").Then(fail(errors.New("secret"))), code: connect.CodeInternal, message: anID, answers: []string{"one"}, failure: "secret", streams: true},
	{name: "panic later", do: send("one").Then(throw("secret")), code: connect.CodeInternal, message: anID, answers: []string{"one"}, failure: "panic: secret", streams: true},
	{name: "made later", do: send("one").Then(fail(connect.NewError(connect.CodeAborted, "made"))), code: connect.CodeAborted, message: "^made$", answers: []string{"one"}, streams: true},
	// Behaviour 78: whatever is thrown.
	{name: "panic text", do: throw("secret"), code: connect.CodeInternal, message: anID, failure: "panic: secret"},
	{name: "panic error", do: throw(errors.New("secret")), code: connect.CodeInternal, message: anID, failure: "panic: secret"},
	{name: "panic value", do: throw(struct{ Password string }{"secret"}), code: connect.CodeInternal, message: anID, failure: "panic: {secret}"},
	{name: "panic nil", do: throw(nil), code: connect.CodeInternal, message: anID, failure: "panic called with nil argument"},
	{name: "panic made", do: throw(connect.NewError(connect.CodeNotFound, "secret")), code: connect.CodeInternal, message: anID, failure: "panic: not_found: secret"},
	// Behaviour 78: made on purpose.
	{name: "made", do: fail(connect.NewError(connect.CodeNotFound, "no such thing").
		WithDetail(interceptor.ResourceInfo("thing", "7", "gone")).WithCause(errors.New("secret"))),
		code: connect.CodeNotFound, message: "^no such thing$",
		detail: connectumtest.WithDetail(&errdetails.ResourceInfo{ResourceType: "thing", ResourceName: "7", Description: "gone"})},
	{name: "made, wrapped", do: fail(fmt.Errorf("secret: %w", connect.NewError(connect.CodeNotFound, "no such thing"))), code: connect.CodeNotFound, message: "^no such thing$"},
	{name: "made, with a cause", do: fail(connect.NewError(connect.CodeUnavailable, "try later").WithCause(errors.New("secret"))), code: connect.CodeUnavailable, message: "^try later$", failure: "secret"},
	{name: "no code", do: fail(connect.NewError(99, "secret")), code: connect.CodeInternal, message: anID, failure: "secret"},
	// A downstream's verdict is not ours.
	{name: "remote", do: fail(connect.NewError(connect.CodePermissionDenied, "secret").WithRemote()), code: connect.CodeInternal, message: anID, failure: "permission_denied: secret"},
	{name: "remote, wrapped", do: fail(fmt.Errorf("ask stock: %w", connect.NewError(connect.CodeUnavailable, "secret").WithRemote())), code: connect.CodeInternal, message: anID, failure: "ask stock: unavailable: secret"},
	// The table.
	{name: "table is", do: fail(fmt.Errorf("take: %w", errStock)), code: connect.CodeFailedPrecondition, message: "^sold out$",
		detail: connectumtest.WithDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})},
	{name: "table as", do: fail(fmt.Errorf("take: %w", shortError{left: 3})), code: connect.CodeOutOfRange, message: "^only 3 left$"},
	{name: "table as, not", do: fail(shortError{left: -1}), code: connect.CodeInternal, message: anID, failure: "short by -1"},
	{name: "table panics", do: fail(shortError{left: 13}), code: connect.CodeInternal, message: anID, failure: "panic: unlucky"},
	{name: "table remote", do: fail(connect.NewError(connect.CodeDataLoss, "secret").WithRemote()), code: connect.CodeUnavailable, message: "^the stock can't be asked$", failure: "data_loss: secret"},
	{name: "table forwards", do: fail(connect.NewError(connect.CodeAborted, "secret").WithRemote()), code: connect.CodeInternal, message: anID, failure: "aborted: secret"},
	{name: "table without a code", do: fail(shortError{left: 99}), code: connect.CodeInternal, message: anID, failure: "short by 99"},
	// Context errors are nobody's failure.
	{name: "canceled", do: fail(fmt.Errorf("query: %w", context.Canceled)), code: connect.CodeCanceled, message: "^the call was cancelled$"},
	{name: "deadline", do: fail(fmt.Errorf("query: %w", context.DeadlineExceeded)), code: connect.CodeDeadlineExceeded, message: "^the deadline of the call has passed$"},
	// Validation is innermost: behaviour 95.
	{name: "", code: connect.CodeInvalidArgument, message: `name: must be at least 1 characters \[string.min_len\]`},
}

type shortError struct{ left int }

func (e shortError) Error() string { return fmt.Sprintf("short by %d", e.left) }

var table = []interceptor.ErrorRule{
	interceptor.ErrorIs(errStock, connect.CodeFailedPrecondition, "sold out", interceptor.RetryInfo(time.Hour)),
	interceptor.ErrorAs(func(err shortError) *connect.Error {
		switch {
		case err.left == 13:
			panic("unlucky")
		case err.left < 0:
			return nil
		case err.left == 99:
			return connect.NewError(99, "secret")
		}
		return connect.Errorf(connect.CodeOutOfRange, "only %d left", err.left)
	}),
	interceptor.ErrorAs(func(err *connect.Error) *connect.Error {
		if err.Code() == connect.CodeDataLoss {
			return connect.NewError(connect.CodeUnavailable, "the stock can't be asked")
		}
		if err.Code() == connect.CodeAborted {
			return err // theirs, and not ours
		}
		return nil
	}),
}

// play does the scenario that the first request names.
func play(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
	first := request(spec.StreamType, "")
	if err := stream.Receive(first); err != nil {
		return err
	}
	name := first.(interface{ GetName() string }).GetName()
	for _, s := range scenarios {
		if s.name == name && s.do != nil {
			return s.do(ctx, spec, stream)
		}
	}
	return connect.Errorf(connect.CodeUnimplemented, "no scenario %q", name)
}

// Behaviours 78, 81, 82, 95 and 99: one table behind every door, for every kind
// of call.
func TestScenarios(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, play, interceptor.Defaults(interceptor.Config{
		Logger: logs.Logger(), Log: &interceptor.LogConfig{},
		Errors:       interceptor.ErrorsConfig{Table: table},
		Bulkhead:     resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 10}),
		RateLimit:    resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1_000_000}),
		StreamLimits: resilience.StreamLimits{Idle: time.Minute, Total: time.Hour},
	})...)
	everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
		for _, s := range scenarios {
			if s.streams && kind&connect.StreamTypeServer == 0 {
				continue
			}
			before := len(logs.Records())
			texts, err := call(t.Context(), client, kind, s.name)
			connectumtest.Want(t, texts, s.answers)
			if s.code == 0 {
				if err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
			} else {
				aspects := []connectumtest.Aspect{connectumtest.Matching(s.message)}
				if s.detail != nil {
					aspects = append(aspects, s.detail)
				}
				if e := connectumtest.WantError(t, err, s.code, aspects...); e != nil && strings.Contains(e.Error(), "secret") {
					t.Errorf("%s: the client was told %v", s.name, e)
				}
			}
			checkLog(t, logs, before, s, err)
		}
	})
}

// checkLog wants one line for the call and, for a failure, one with its cause,
// which share the id that the client was told.
func checkLog(t *testing.T, logs *connectumtest.Logs, before int, s scenario, err error) {
	t.Helper()
	var calls, failures []connectumtest.Record
	for calls == nil { // the line is written when the client may have its answer already
		calls, failures = nil, nil
		for _, r := range logs.Records()[before:] {
			switch r.Message {
			case "call":
				calls = append(calls, r)
			case "call failed", "handler panicked":
				failures = append(failures, r)
			}
		}
		if t.Context().Err() != nil {
			return
		}
		runtime.Gosched()
	}
	want := "ok"
	if s.code != 0 {
		want = s.code.String()
	}
	if len(calls) != 1 || calls[0].Attrs["code"] != want {
		t.Errorf("%s: lines of calls: %v", s.name, calls)
		return
	}
	if s.failure == "" {
		if len(failures) > 0 {
			t.Errorf("%s: logged as a failure: %v", s.name, failures)
		}
		return
	}
	if len(failures) != 1 || !strings.Contains(fmt.Sprint(failures[0].Attrs["error"]), s.failure) {
		t.Errorf("%s: failures: %v", s.name, failures)
		return
	}
	if s.code != connect.CodeInternal {
		return
	}
	id := fmt.Sprint(failures[0].Attrs["error_id"])
	if calls[0].Attrs["error_id"] != id || !strings.HasSuffix(err.Error(), "id "+id) {
		t.Errorf("%s: the client was told %v, the failure is %s, the line of the call says %v", s.name, err, id, calls[0].Attrs["error_id"])
	}
}

// Behaviours 99: the limits of a chain, with the numbers and RetryInfo, for
// every kind and behind every door.
func TestLimitsRefuse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  interceptor.Config
		text string
	}{
		"rate limit": {interceptor.Config{RateLimit: resilience.NewRateLimit(resilience.RateLimitConfig{
			Calls: 1, Per: 1000 * time.Hour, Key: func(context.Context, connect.Spec) string { return "all" },
		})}, "the limit of 1 calls in"},
		"bulkhead": {interceptor.Config{Bulkhead: resilience.NewBulkhead(resilience.BulkheadConfig{
			Capacity: 1, Key: func(context.Context, connect.Spec) string { return "all" },
		})}, "1 of 1 run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs := connectumtest.RecordLogs(t)
			begun, release := make(chan struct{}), make(chan struct{})
			hold := func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
				close(begun)
				select {
				case <-release:
				case <-ctx.Done():
				}
				return connect.NewError(connect.CodeAborted, "released")
			}
			c.cfg.Logger = logs.Logger()
			srv := serve(logs, connectumtest.Step(hold), interceptor.Defaults(c.cfg)...)
			done := make(chan error, 1)
			go func() {
				_, err := call(t.Context(), connectumtest.Client(t, srv), connect.StreamTypeUnary, "holder")
				done <- err
			}()
			<-begun
			everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
				_, err := call(t.Context(), client, kind, "a")
				connectumtest.WantError(t, err, connect.CodeResourceExhausted, connectumtest.Containing(c.text))
				if _, ok := connectumtest.Detail[*errdetails.RetryInfo](err); !ok {
					t.Errorf("no RetryInfo: %v", err)
				}
			})
			close(release)
			connectumtest.WantError(t, <-done, connect.CodeAborted)
		})
	}
}

// Behaviours 75, 76 and 77: what is in the chain, in which order.
func TestTheOrderIsFixed(t *testing.T) {
	t.Parallel()
	telemetry := connectum.Wrap("telemetry", func(next connect.ServerFunc) connect.ServerFunc { return next })
	all := interceptor.Config{
		StreamLimits: resilience.StreamLimits{Idle: time.Minute},
		RateLimit:    resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1}),
		Bulkhead:     resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1}),
		Limiter:      resilience.NewLimiter(resilience.LimiterConfig{}),
		Log:          &interceptor.LogConfig{},
		Telemetry:    telemetry,
	}
	for name, c := range map[string]struct {
		cfg  interceptor.Config
		want string
	}{
		"zero":               {interceptor.Config{}, "errors validate"},
		"all":                {all, "telemetry log errors limiter bulkhead rate-limit stream-limits validate"},
		"nothing":            {interceptor.Config{WithoutErrors: true, WithoutValidation: true}, ""},
		"without errors":     {interceptor.Config{WithoutErrors: true}, "validate"},
		"without validation": {interceptor.Config{WithoutValidation: true}, "errors"},
		"log":                {interceptor.Config{Log: &interceptor.LogConfig{}}, "log errors validate"},
		"telemetry":          {interceptor.Config{Telemetry: telemetry}, "telemetry errors validate"},
		"bulkhead":           {interceptor.Config{Bulkhead: all.Bulkhead}, "errors bulkhead validate"},
		"stream limits":      {interceptor.Config{StreamLimits: all.StreamLimits}, "errors stream-limits validate"},
	} {
		var names []string
		for _, i := range interceptor.Defaults(c.cfg) {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestExplainTellsTheEffectiveChain(t *testing.T) {
	t.Parallel()
	cfg := interceptor.Config{
		Bulkhead:     resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50}),
		StreamLimits: resilience.StreamLimits{Idle: time.Minute},
	}
	srv := serve(connectumtest.RecordLogs(t), answer("x"), append(interceptor.Defaults(cfg), connectum.Wrap("mine", func(next connect.ServerFunc) connect.ServerFunc { return next }))...)
	connectumtest.Want(t, strings.Split(cfg.Explain(srv, servicePath+"Plain"), "\n"), []string{
		servicePath + "Plain, unary",
		"─► guard             recovery, masking, deadline, limits",
		"─► errors            table of 0, failures are logged",
		"─► bulkhead          capacity 100, queue 50",
		"─► mine",
		"─► handler",
		"   telemetry         off",
		"   log               off",
		"   limiter           off",
		"   rate-limit        off",
		"   method-timeout    off",
		"   stream-limits     left out: nothing to do here",
		"   validate          left out: nothing to do here",
		"",
	})
	if got := cfg.Explain(srv, servicePath+"Talk"); !strings.Contains(got, "─► stream-limits     idle 1m0s, total none\n─► validate          requests\n") {
		t.Error(got)
	}
	if got := cfg.Explain(srv, "/no.Such/One"); !strings.Contains(got, "has no such procedure") {
		t.Error(got)
	}
	broken := connectum.New(connectum.Config{Interceptors: interceptor.Defaults(interceptor.Config{Bulkhead: resilience.NewBulkhead(resilience.BulkheadConfig{})})})
	if got := cfg.Explain(broken, servicePath+"Talk"); !strings.Contains(got, "configuration is wrong") {
		t.Error(got)
	}
}

// The parity kit's view: the doors can't be told apart.
func TestTheChainIsTheSameBehindEveryDoor(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, play, interceptor.Defaults(interceptor.Config{Logger: logs.Logger(), Log: &interceptor.LogConfig{Messages: true}, Errors: interceptor.ErrorsConfig{Table: table}})...)
	connectumtest.Parity(t, srv, func(t testing.TB, client *connect.Client) {
		for _, kind := range []connect.StreamType{connect.StreamTypeUnary, connect.StreamTypeClient, connect.StreamTypeServer} {
			for _, s := range scenarios {
				if !s.streams || kind&connect.StreamTypeServer != 0 {
					_, _ = call(t.Context(), client, kind, s.name)
				}
			}
		}
	})
}
