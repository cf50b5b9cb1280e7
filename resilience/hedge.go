package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
}

// Hedge sends a slow unary call a second time and takes the first answer, for
// methods that the schema marks as NO_SIDE_EFFECTS alone. The other attempts
// are cancelled. A verdict other than unavailable is an answer too. It is safe
// for concurrent use.
type Hedge struct {
	cfg      HedgeConfig
	policy   failsafe.Executor[*outcome]
	budget   *budget
	attempts atomic.Int64
	hedges   atomic.Int64
}

// outcome is what one attempt brought.
type outcome struct {
	info *connect.CallInfo
	res  proto.Message
	err  error
	void bool // there was no attempt: the budget did not allow it
}

// NewHedge returns a hedge for cfg. It panics if cfg.Delay is not positive.
func NewHedge(cfg HedgeConfig) *Hedge {
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, 2)
	cfg.Budget, cfg.BudgetBurst = cmp.Or(cfg.Budget, 0.1), cmp.Or(cfg.BudgetBurst, 10)
	if cfg.Delay <= 0 || cfg.MaxAttempts < 1 || cfg.BudgetBurst < 0 {
		panic(fmt.Sprintf("resilience: HedgeConfig: want Delay (%v) > 0, MaxAttempts (%d) >= 1, BudgetBurst (%d) >= 0",
			cfg.Delay, cfg.MaxAttempts, cfg.BudgetBurst))
	}
	h := &Hedge{cfg: cfg}
	if cfg.Budget > 0 {
		h.budget = newBudget(cfg.Budget, cfg.BudgetBurst)
	}
	h.policy = failsafe.With[*outcome](hedgepolicy.NewBuilderWithDelay[*outcome](cfg.Delay).
		WithMaxHedges(cfg.MaxAttempts - 1).
		CancelIf(func(o *outcome, _ error) bool { return o != nil && !o.void && codeOf(o.err) != connect.CodeUnavailable }).
		Build())
	return h
}

// Interceptor returns the hedge as a link of a client's chain.
func (h *Hedge) Interceptor() connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if spec.StreamType != connect.StreamTypeUnary || spec.IdempotencyLevel != connect.IdempotencyNoSideEffects || h.cfg.MaxAttempts == 1 {
				return next(ctx, spec)
			}
			return unary(ctx, func(ctx context.Context, info *connect.CallInfo, req, res any) error {
				return h.call(ctx, spec, next, info, req, res)
			}), nil
		}
	}
}

// String tells the settings on one line.
func (h *Hedge) String() string {
	return fmt.Sprintf("%d attempts, one more after %v, budget %v", h.cfg.MaxAttempts, h.cfg.Delay, h.cfg.Budget)
}

// Metrics yields what the hedge measures, for [connectum.Server.AddMetrics].
func (h *Hedge) Metrics(yield func(connectum.Sample) bool) {
	_ = sample(yield, "connectum_hedge_attempts_total", "Attempts of calls, hedges included.", true, float64(h.attempts.Load())) &&
		sample(yield, "connectum_hedge_hedges_total", "Attempts sent beside a slow one.", true, float64(h.hedges.Load()))
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
	var failed atomic.Pointer[outcome]
	got, err := h.policy.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[*outcome]) (*outcome, error) {
		if exec.IsHedge() {
			if h.budget != nil && !h.budget.withdraw() {
				return &outcome{void: true}, nil
			}
			h.hedges.Add(1)
		}
		h.attempts.Add(1)
		o := &outcome{res: empty.ProtoReflect().New().Interface()}
		if o.info, o.err = attempt(exec.Context(), spec, next, headers, request, o.res); o.err != nil {
			failed.Store(o)
		}
		return o, nil
	})
	switch {
	case got == nil || ctx.Err() != nil:
		return errors.Join(ctx.Err(), err)
	case got.void: // the last to end; those before have failed
		got = failed.Load()
	}
	adopt(outer, got.info)
	if got.err == nil {
		proto.Reset(answer)
		proto.Merge(answer, got.res)
	}
	return got.err
}
