package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
)

// HedgeConfig configures a [Hedge].
type HedgeConfig struct {
	// Delay is how long an attempt may take before another is sent beside
	// it: about what 95 of 100 calls take. It must be set.
	Delay time.Duration

	// MaxAttempts counts all attempts of a call, the first included.
	// The default is 2.
	MaxAttempts int

	// Budget bounds the further attempts of this client to that share of its
	// calls; BudgetBurst of them are free after a quiet time. Negative is no
	// budget. The defaults are 0.1 and 10.
	Budget      float64
	BudgetBurst int

	// Name tells the metrics of this hedge from those of others of the same
	// process: that of the target. The default is no name, which is right for
	// one.
	Name string
}

// Hedge sends a slow unary call a second time and takes the first answer, for
// methods that the schema marks as NO_SIDE_EFFECTS alone. The other attempts
// are cancelled. An attempt that fails with unavailable, or that
// [AttemptTimeout] gives up, leaves it to those that are still under way; any
// other verdict is an answer too. Calls that fail at once are not sent again:
// that is for [Retry]. Clients that share a Hedge share its budget: give each
// target its own. It is safe for concurrent use.
type Hedge struct {
	cfg      HedgeConfig
	policy   failsafe.Executor[*outcome]
	budget   *budget
	attempts atomic.Int64
	hedges   atomic.Int64
}

// outcome is what one attempt brought.
type outcome struct {
	info   *connect.CallInfo
	res    proto.Message
	err    error
	last   bool // no other attempt was under way at its end
	void   bool // there was no attempt: the budget did not allow it
	thrown any  // by an interceptor further in
}

// decides reports whether o settles the call.
func (o *outcome) decides() bool {
	if o == nil || o.void {
		return false
	}
	return o.last || o.thrown != nil || codeOf(o.err) != connect.CodeUnavailable && !errors.Is(o.err, errAttempt)
}

// NewHedge returns a hedge for cfg. It panics if cfg.Delay is not positive, or
// another field is negative where it must not be.
func NewHedge(cfg HedgeConfig) *Hedge {
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, 2)
	cfg.Budget, cfg.BudgetBurst = cmp.Or(cfg.Budget, 0.1), cmp.Or(cfg.BudgetBurst, 10)
	if cfg.Delay <= 0 || cfg.MaxAttempts < 1 || cfg.BudgetBurst < 0 || math.IsNaN(cfg.Budget) {
		panic(fmt.Sprintf("resilience: HedgeConfig: want Delay (%v) > 0, MaxAttempts (%d) >= 1, BudgetBurst (%d) >= 0, a number as Budget (%v)",
			cfg.Delay, cfg.MaxAttempts, cfg.BudgetBurst, cfg.Budget))
	}
	h := &Hedge{cfg: cfg}
	if cfg.Budget > 0 {
		h.budget = newBudget(cfg.Budget, cfg.BudgetBurst)
	}
	h.policy = failsafe.With[*outcome](hedgepolicy.NewBuilderWithDelay[*outcome](cfg.Delay).
		WithMaxHedges(cfg.MaxAttempts - 1).
		CancelIf(func(o *outcome, _ error) bool { return o.decides() }).
		Build())
	return h
}

// Interceptor returns the hedge as a link of a client's chain.
func (h *Hedge) Interceptor() connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if !h.Hedges(spec) {
				return next(ctx, spec)
			}
			return unary(ctx, func(ctx context.Context, info *connect.CallInfo, req, res any) error {
				return h.call(ctx, spec, next, info, req, res)
			}), nil
		}
	}
}

// Hedges reports whether slow calls of spec are sent again at all.
func (h *Hedge) Hedges(spec connect.Spec) bool {
	return spec.StreamType == connect.StreamTypeUnary && h.cfg.MaxAttempts > 1 && spec.IdempotencyLevel == connect.IdempotencyNoSideEffects
}

// String tells the settings on one line.
func (h *Hedge) String() string {
	return fmt.Sprintf("%d attempts, one more after %v, budget %s", h.cfg.MaxAttempts, h.cfg.Delay, h.budget)
}

// Metrics yields what the hedge measures, for [connectum.Server.AddMetrics].
func (h *Hedge) Metrics(yield func(connectum.Sample) bool) {
	labels := named(h.cfg.Name)
	_ = sample(yield, "connectum_hedge_attempts_total", "Attempts of calls, hedges included.", true, float64(h.attempts.Load()), labels...) &&
		sample(yield, "connectum_hedge_hedges_total", "Attempts sent beside a slow one.", true, float64(h.hedges.Load()), labels...)
}

func (h *Hedge) call(ctx context.Context, spec connect.Spec, next connect.ClientFunc, outer *connect.CallInfo, req, res any) error {
	request, ok := req.(proto.Message)
	answer, also := res.(proto.Message)
	if !ok || !also {
		return exchange(ctx, spec, next, req, res)
	}
	if h.budget != nil {
		h.budget.deposit()
	}
	// An attempt that has lost may still look at its request, its headers and
	// its answer when the caller has them back: give it its own.
	request = proto.Clone(request)
	headers := new(connect.CallInfo)
	for key, values := range outer.RequestHeader().All() {
		headers.RequestHeader().SetValues(key, slices.Clone(values))
	}
	empty := answer.ProtoReflect().New().Interface()
	var flying atomic.Int64
	got, err := h.policy.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[*outcome]) (*outcome, error) {
		if exec.IsHedge() {
			if h.budget != nil && !h.budget.withdraw() {
				return &outcome{void: true}, nil
			}
			h.hedges.Add(1)
		}
		h.attempts.Add(1)
		flying.Add(1)
		o := &outcome{res: empty.ProtoReflect().New().Interface()}
		func() {
			// This is a goroutine of failsafe's, where a panic ends the process.
			defer func() { o.thrown = recover() }()
			o.info, o.err = attempt(exec.Context(), spec, next, headers, request, o.res)
		}()
		o.last = flying.Add(-1) == 0
		return o, nil
	})
	if got == nil || got.void { // the context has ended
		return endOf(ctx, err)
	}
	if got.thrown != nil {
		panic(got.thrown)
	}
	adopt(outer, got.info)
	if got.err == nil {
		proto.Reset(answer)
		proto.Merge(answer, got.res)
	}
	return got.err
}
