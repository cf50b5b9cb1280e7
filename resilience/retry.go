package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
)

// RetryConfig configures a [Retry].
type RetryConfig struct {
	// MaxAttempts counts all attempts of a call, the first included.
	// The default is 3.
	MaxAttempts int

	// Codes are the verdicts after which a call is repeated. An attempt given
	// up by [AttemptTimeout] always is. The default is unavailable.
	Codes []connect.Code

	// Delay and MaxDelay shape the wait before attempt n+1: a time chosen at
	// random between 0 and min(MaxDelay, Delay * 2^(n-1)), so that clients do
	// not come back all at once. When the server asks for more, with
	// google.rpc.RetryInfo or grpc-retry-pushback-ms, that is waited instead,
	// and a tenth more at most; when it asks for more than a minute, or not to
	// be called again, there is no further attempt.
	// The defaults are 100 ms and 5 s, or Delay if that is longer.
	Delay, MaxDelay time.Duration

	// Budget bounds the repetitions of this client to that share of the calls
	// that are answered at the first attempt, so that a service which fails
	// is not kept down by its clients: the more calls fail, the fewer are
	// repeated. BudgetBurst of them are free after a quiet time. Negative is
	// no budget. The defaults are 0.1 and 10.
	Budget      float64
	BudgetBurst int

	// Unsafe repeats also methods that the schema does not mark as
	// NO_SIDE_EFFECTS or IDEMPOTENT: true for those to repeat nevertheless.
	// The default is none of them.
	Unsafe func(connect.Spec) bool

	// Name tells the metrics of this retry from those of others of the same
	// process: that of the target. The default is no name, which is right for
	// one.
	Name string
}

// Retry repeats unary calls that have failed for want of a server. Streams are
// left alone: what has been sent on them is not kept. It stops when the context
// of the call ends, and returns the last verdict at once when the wait would
// be longer than what is left of it. Clients that share a Retry share its
// budget: give each target its own. It is safe for concurrent use.
type Retry struct {
	cfg      RetryConfig
	policy   failsafe.Executor[any]
	budget   *budget
	attempts atomic.Int64
	repeats  atomic.Int64
	starved  atomic.Int64
}

// NewRetry returns a retry for cfg. It panics if cfg is negative where it must
// not be.
func NewRetry(cfg RetryConfig) *Retry {
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, 3)
	cfg.Delay = cmp.Or(cfg.Delay, 100*time.Millisecond)
	cfg.MaxDelay = cmp.Or(cfg.MaxDelay, max(5*time.Second, cfg.Delay))
	cfg.Budget, cfg.BudgetBurst = cmp.Or(cfg.Budget, 0.1), cmp.Or(cfg.BudgetBurst, 10)
	if cfg.Codes = slices.Clone(cfg.Codes); len(cfg.Codes) == 0 {
		cfg.Codes = []connect.Code{connect.CodeUnavailable}
	}
	if cfg.MaxAttempts < 1 || cfg.Delay < 0 || cfg.MaxDelay < cfg.Delay || cfg.BudgetBurst < 0 || math.IsNaN(cfg.Budget) {
		panic(fmt.Sprintf("resilience: RetryConfig: want MaxAttempts (%d) >= 1, 0 <= Delay (%v) <= MaxDelay (%v), BudgetBurst (%d) >= 0, a number as Budget (%v)",
			cfg.MaxAttempts, cfg.Delay, cfg.MaxDelay, cfg.BudgetBurst, cfg.Budget))
	}
	for _, code := range cfg.Codes {
		if !valid(code) {
			panic(fmt.Sprintf("resilience: RetryConfig.Codes has %v, which no call ends with", code))
		}
	}
	r := &Retry{cfg: cfg}
	if cfg.Budget > 0 {
		r.budget = newBudget(cfg.Budget, cfg.BudgetBurst)
	}
	// What is to be repeated, and when, is settled by the attempt; failsafe
	// counts, waits, and stops when the context ends.
	r.policy = failsafe.With[any](retrypolicy.NewBuilder[any]().
		WithMaxAttempts(cfg.MaxAttempts).
		HandleIf(func(_ any, err error) bool { return again(err) != nil }).
		WithDelayFunc(func(e failsafe.ExecutionAttempt[any]) time.Duration {
			if a := again(e.LastError()); a != nil {
				return a.wait
			}
			return 0
		}).
		ReturnLastFailure().
		Build())
	return r
}

// Interceptor returns the retry as a link of a client's chain.
func (r *Retry) Interceptor() connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if !r.Repeats(spec) {
				return next(ctx, spec)
			}
			return unary(ctx, func(ctx context.Context, info *connect.CallInfo, req, res any) error {
				return r.call(ctx, spec, next, info, req, res)
			}), nil
		}
	}
}

// Repeats reports whether calls of spec are repeated at all.
func (r *Retry) Repeats(spec connect.Spec) bool {
	return spec.StreamType == connect.StreamTypeUnary && r.cfg.MaxAttempts > 1 &&
		(repeatable(spec) || r.cfg.Unsafe != nil && r.cfg.Unsafe(spec))
}

// String tells the settings on one line.
func (r *Retry) String() string {
	return fmt.Sprintf("%d attempts after %v, budget %s", r.cfg.MaxAttempts, r.cfg.Codes, r.budget)
}

// Metrics yields what the retry measures, for [connectum.Server.AddMetrics].
func (r *Retry) Metrics(yield func(connectum.Sample) bool) {
	labels := named(r.cfg.Name)
	ok := sample(yield, "connectum_retry_attempts_total", "Attempts of calls, repetitions included.", true, float64(r.attempts.Load()), labels...) &&
		sample(yield, "connectum_retry_repetitions_total", "Repetitions of calls.", true, float64(r.repeats.Load()), labels...) &&
		sample(yield, "connectum_retry_starved_total", "Repetitions that the budget did not allow.", true, float64(r.starved.Load()), labels...)
	if ok && r.budget != nil {
		sample(yield, "connectum_retry_budget", "Repetitions that the budget allows now.", false, r.budget.left(), labels...)
	}
}

// repeat is the verdict of an attempt after which there is to be another.
type repeat struct {
	error
	wait time.Duration
}

func (r *repeat) Unwrap() error { return r.error }

func again(err error) *repeat {
	r, _ := errors.AsType[*repeat](err)
	return r
}

func (r *Retry) call(ctx context.Context, spec connect.Spec, next connect.ClientFunc, outer *connect.CallInfo, req, res any) error {
	info, verdict, wait, ok := r.try(ctx, spec, next, outer, req, res, 1)
	if !ok { // nearly all calls: what follows costs some twenty allocations
		adopt(outer, info)
		return verdict
	}
	_ = r.policy.WithContext(ctx).RunWithExecution(func(exec failsafe.Execution[any]) error {
		if exec.Attempts() > 1 {
			r.repeats.Add(1)
			if msg, is := res.(proto.Message); is {
				proto.Reset(msg)
			}
			info, verdict, wait, ok = r.try(ctx, spec, next, outer, req, res, exec.Attempts())
		}
		if !ok {
			return nil
		}
		return &repeat{verdict, wait}
	})
	if ok { // there was to be another, but the context has ended
		return endOf(ctx, verdict)
	}
	adopt(outer, info)
	return verdict
}

// try makes one attempt and reports whether, and after which wait, there is to
// be another.
func (r *Retry) try(ctx context.Context, spec connect.Spec, next connect.ClientFunc, outer *connect.CallInfo, req, res any, attempts int) (
	info *connect.CallInfo, verdict error, wait time.Duration, ok bool, //nolint:staticcheck // the verdict comes before what is to be done about it
) {
	r.attempts.Add(1)
	info, verdict = attempt(ctx, spec, next, outer, req, res)
	if r.budget != nil && attempts == 1 && !r.retryable(verdict) && ctx.Err() == nil {
		r.budget.deposit()
	}
	wait, ok = r.next(ctx, info, verdict, attempts)
	return info, verdict, wait, ok
}

func (r *Retry) retryable(err error) bool {
	return err != nil && (slices.Contains(r.cfg.Codes, codeOf(err)) || errors.Is(err, errAttempt))
}

// next decides whether there is to be another attempt, and after which wait.
func (r *Retry) next(ctx context.Context, info *connect.CallInfo, err error, attempts int) (time.Duration, bool) {
	if !r.retryable(err) || ctx.Err() != nil || attempts >= r.cfg.MaxAttempts {
		return 0, false
	}
	asked, never := pushback(info, err)
	if never {
		return 0, false
	}
	wait := time.Duration(rand.Int64N(int64(r.ceiling(attempts)) + 1))
	if asked > 0 {
		wait = max(wait, asked+time.Duration(rand.Int64N(int64(asked)/10+1)))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return 0, false
	}
	if r.budget != nil && !r.budget.withdraw() {
		r.starved.Add(1)
		return 0, false
	}
	return wait, true
}

// ceiling is the longest wait after so many attempts.
func (r *Retry) ceiling(attempts int) time.Duration {
	c := r.cfg.Delay
	for n := 1; n < attempts && c < r.cfg.MaxDelay; n++ {
		c *= 2
		if c <= 0 { // over 292 years
			return r.cfg.MaxDelay
		}
	}
	return min(c, r.cfg.MaxDelay)
}
