package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/priority"

	"github.com/connectum-go/connectum"
)

// Priority says how late a call is shed when a [Limiter] has to.
type Priority int

// The priorities, the first shed last. PriorityNormal is the zero value.
const (
	PriorityHighest Priority = 2
	PriorityHigh    Priority = 1
	PriorityNormal  Priority = 0
	PriorityLow     Priority = -1
	PriorityLowest  Priority = -2
)

// LimiterConfig configures a [Limiter].
type LimiterConfig struct {
	// Min, Max and Initial bound the number of calls of one procedure that
	// run at one time, and say where the search for it begins.
	// The defaults are 1, 200 and 20.
	Min, Max, Initial int

	// Priority tells the priority of a call. It is called for every call, by
	// several goroutines at once. The default is PriorityNormal for all.
	Priority func(ctx context.Context, spec connect.Spec) Priority

	// RetryAfter is what refused clients are told to wait. The default is
	// 1 s; negative tells them nothing.
	RetryAfter time.Duration

	// Window is the shortest time over which latencies are summed up before
	// the limit moves. The default is 1 s.
	Window time.Duration

	// Name tells the metrics of this limiter from those of others of the
	// same server. The default is no name, which is right for one.
	Name string
}

// Limiter bounds the calls of each procedure that run at one time, where
// nobody knows the right number: it raises the limit while more calls at one
// time bring more answers, and lowers it when they only take longer. Calls
// over the limit wait; when more than twice the limit waits, those of low
// priority are refused, over three times all are. A waiting call whose client
// leaves gives up its place, as in a [Bulkhead]. Streams take a place, but teach
// nothing. Servers that share a Limiter share its places. It is safe for
// concurrent use.
type Limiter struct {
	cfg LimiterConfig

	mu   sync.Mutex
	each []*limit
}

// limit is what is known of one procedure.
type limit struct {
	procedure  string
	permits    adaptivelimiter.PriorityLimiter[any]
	prioritize priority.Prioritizer
	began      time.Time
	calibrated atomic.Int64 // nanoseconds after began
	refused    atomic.Int64
}

// NewLimiter returns a limiter for cfg. What is wrong with cfg is a start error
// of the server.
func NewLimiter(cfg LimiterConfig) *Limiter {
	cfg.Min, cfg.Max = cmp.Or(cfg.Min, 1), cmp.Or(cfg.Max, 200)
	cfg.Initial = cmp.Or(cfg.Initial, max(cfg.Min, min(20, cfg.Max)))
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, time.Second)
	cfg.Window = cmp.Or(cfg.Window, time.Second)
	return &Limiter{cfg: cfg}
}

// Interceptor returns the limiter as a link of a server's chain.
func (l *Limiter) Interceptor() connectum.Interceptor {
	return connectum.Interceptor{Name: "limiter", Bind: l.bind, Done: func([]connect.Spec) error { return l.check() }}
}

// String tells the settings on one line.
func (l *Limiter) String() string {
	return fmt.Sprintf("%d to %d calls at one time, from %d", l.cfg.Min, l.cfg.Max, l.cfg.Initial)
}

// Metrics yields what the limiter measures, for [connectum.Server.AddMetrics].
func (l *Limiter) Metrics(yield func(connectum.Sample) bool) {
	l.mu.Lock()
	each := l.each
	l.mu.Unlock()
	for _, m := range each {
		label := named(l.cfg.Name, connectum.Label{Name: "procedure", Value: m.procedure})
		if !sample(yield, "connectum_limiter_limit", "Calls that may run at one time, as found.", false, float64(m.permits.Limit()), label...) ||
			!sample(yield, "connectum_limiter_running", "Calls that hold a place.", false, float64(m.permits.Inflight()), label...) ||
			!sample(yield, "connectum_limiter_waiting", "Calls that wait for a place.", false, float64(m.permits.Queued()), label...) ||
			!sample(yield, "connectum_limiter_refused_total", "Calls that were shed.", true, float64(m.refused.Load()), label...) {
			return
		}
	}
}

func (l *Limiter) check() error {
	c := l.cfg
	if c.Min < 1 || c.Max < c.Min || c.Initial < c.Min || c.Initial > c.Max {
		return fmt.Errorf("LimiterConfig: want 1 <= Min (%d) <= Initial (%d) <= Max (%d)", c.Min, c.Initial, c.Max)
	}
	if c.Window < 0 {
		return fmt.Errorf("LimiterConfig.Window is %v: it must not be negative", c.Window)
	}
	return nil
}

func (l *Limiter) bind(spec connect.Spec) (connect.ServerInterceptor, error) {
	if l.check() != nil {
		return nil, nil // reported once, by Done
	}
	m := l.of(spec.Procedure)
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			return l.serve(ctx, spec, stream, next, m)
		}
	}, nil
}

// of returns the limit of a procedure.
func (l *Limiter) of(procedure string) *limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.each {
		if m.procedure == procedure {
			return m
		}
	}
	m := &limit{procedure: procedure, prioritize: adaptivelimiter.NewPrioritizer(), began: time.Now()}
	m.permits = adaptivelimiter.NewBuilder[any]().
		WithLimits(uint(l.cfg.Min), uint(l.cfg.Max), uint(l.cfg.Initial)).
		WithRecentWindow(l.cfg.Window, max(30*time.Second, l.cfg.Window), 50).
		BuildPrioritized(m.prioritize)
	l.each = append(l.each[:len(l.each):len(l.each)], m)
	return m
}

// serve gives the call a place, if it has to by waiting for one.
func (l *Limiter) serve(ctx context.Context, spec connect.Spec, stream connect.ServerStream, next connect.ServerFunc, m *limit) error {
	p := PriorityNormal
	if l.cfg.Priority != nil {
		p = max(min(l.cfg.Priority(ctx, spec), PriorityHighest), PriorityLowest)
	}
	level := (priority.Medium + priority.Priority(p)).RandomLevel()
	m.calibrate()
	permit, err := l.enter(ended, level, m)
	if err == nil {
		held := permit // which stays on the stack
		return teach(ctx, spec, stream, next, &held)
	}
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return await(ctx, spec, stream, func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		return teach(ctx, spec, stream, next, &permit)
	}, func() (err error) {
		permit, err = l.enter(ctx, level, m)
		return err
	})
}

// teach runs the rest of the chain and gives back the permit, if one has been
// taken by then, with what can be learnt from the call.
func teach(ctx context.Context, spec connect.Spec, stream connect.ServerStream, next connect.ServerFunc, permit *adaptivelimiter.Permit) error {
	whole := false
	defer func() {
		switch {
		case *permit == nil:
		case whole:
			(*permit).Record()
		default:
			(*permit).Drop()
		}
	}()
	err := next(ctx, spec, stream)
	// A call that was cut short tells nothing of how long calls take.
	whole = spec.StreamType == connect.StreamTypeUnary && ctx.Err() == nil
	return err
}

// ended lets enter take a place that is free, and wait for none.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (l *Limiter) enter(ctx context.Context, level int, m *limit) (adaptivelimiter.Permit, error) {
	permit, err := m.permits.AcquirePermitWithLevel(ctx, level)
	if errors.Is(err, adaptivelimiter.ErrExceeded) {
		m.refused.Add(1)
		return nil, refuse(l.cfg.RetryAfter, "the server is at its limit: %d of %d calls run, %d wait",
			m.permits.Inflight(), m.permits.Limit(), m.permits.Queued())
	}
	return permit, err
}

// calibrate lets the prioritizer look at the queue now and then: often, as the
// part of the queue in which priorities count is no longer than the limit, and
// full in milliseconds. It is done by calls, for then no goroutine needs an owner.
func (m *limit) calibrate() {
	if m.permits.Queued() == 0 && m.prioritize.RejectionThreshold() == 0 {
		return
	}
	now, last := int64(time.Since(m.began)), m.calibrated.Load()
	if now-last >= int64(time.Millisecond) && m.calibrated.CompareAndSwap(last, now) {
		m.prioritize.Calibrate()
	}
}
