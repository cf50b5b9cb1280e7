package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
)

// BreakerConfig configures a [Breaker].
type BreakerConfig struct {
	// Failures is the number of faults in a row that opens a breaker.
	// The default is 5.
	Failures int

	// Delay is how long an open breaker refuses calls before it lets a probe
	// through. It varies by a tenth, so that clients do not probe in step.
	// The default is 10 s.
	Delay time.Duration

	// Probes is the number of calls that must succeed, in half-open state, to
	// close the breaker; no more than that are let through at one time. One
	// fault opens it again. The default is 1.
	Probes int

	// IsFault decides whether the verdict err of a call, never nil, counts as
	// a fault; usual is what the default says. A panic in it counts as a
	// fault. The default is unavailable, deadline_exceeded, internal,
	// unknown and data_loss: a code that a healthy server gives on purpose is
	// a success, and a call that its caller cancels says nothing.
	IsFault func(err error, usual bool) bool

	// OnChange is called when a breaker changes its state, after that has
	// been logged. The default is nobody.
	OnChange func(BreakerState)

	// Logger receives one line for each change of state.
	// The default is [slog.Default].
	Logger *slog.Logger
}

// Breaker stops calling what has failed several times in a row, so that
// callers fail fast and the target can recover. Each procedure of each target
// has one. It is safe for concurrent use.
type Breaker struct {
	cfg BreakerConfig

	mu       sync.RWMutex
	circuits map[circuitKey]*circuit
}

// BreakerState is the state of the breaker of one procedure of one target.
type BreakerState struct {
	Target    string
	Procedure string
	State     string // "closed", "open" or "half-open"
}

type circuitKey struct{ target, procedure string }

// circuit is the breaker of one procedure of one target.
type circuit struct {
	key     circuitKey
	breaker circuitbreaker.CircuitBreaker[any]
	era     atomic.Int64 // grows with every change of state
	opened  atomic.Int64
	refused atomic.Int64
}

// NewBreaker returns a breaker for cfg. It panics if cfg is negative where it
// must not be.
func NewBreaker(cfg BreakerConfig) *Breaker {
	cfg.Failures, cfg.Delay, cfg.Probes = cmp.Or(cfg.Failures, 5), cmp.Or(cfg.Delay, 10*time.Second), cmp.Or(cfg.Probes, 1)
	if cfg.Failures < 0 || cfg.Delay < 0 || cfg.Probes < 0 {
		panic(fmt.Sprintf("resilience: BreakerConfig: Failures (%d), Delay (%v) and Probes (%d) must not be negative",
			cfg.Failures, cfg.Delay, cfg.Probes))
	}
	return &Breaker{cfg: cfg, circuits: map[circuitKey]*circuit{}}
}

// Interceptor returns the breaker as a link of the chain of a client of target,
// which names it in the log and the metrics. Clients of one target may share
// what is known of it.
func (b *Breaker) Interceptor(target string) connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			c := b.circuit(circuitKey{target, spec.Procedure})
			if !c.breaker.TryAcquirePermit() {
				c.refused.Add(1)
				return nil, c.refusal()
			}
			watched := &brokenStream{breaker: b, circuit: c, era: c.era.Load(), ctx: ctx}
			stream, err := next(ctx, spec)
			if err != nil {
				watched.settle(err)
				return nil, err
			}
			watched.ClientStream = stream
			return watched, nil
		}
	}
}

// String tells the settings on one line.
func (b *Breaker) String() string {
	return fmt.Sprintf("opens after %d faults in a row for %v, %d probes", b.cfg.Failures, b.cfg.Delay, b.cfg.Probes)
}

// States returns the state of every breaker, ordered by target and procedure.
func (b *Breaker) States() []BreakerState {
	var out []BreakerState
	for _, c := range b.all() {
		out = append(out, c.state())
	}
	return out
}

// Metrics yields what the breakers measure, for [connectum.Server.AddMetrics].
func (b *Breaker) Metrics(yield func(connectum.Sample) bool) {
	values := map[circuitbreaker.State]float64{circuitbreaker.ClosedState: 0, circuitbreaker.HalfOpenState: 1, circuitbreaker.OpenState: 2}
	for _, c := range b.all() {
		labels := []connectum.Label{{Name: "target", Value: c.key.target}, {Name: "procedure", Value: c.key.procedure}}
		if !sample(yield, "connectum_breaker_state", "0 closed, 1 half-open, 2 open.", false, values[c.breaker.State()], labels...) ||
			!sample(yield, "connectum_breaker_opened_total", "How often it has opened.", true, float64(c.opened.Load()), labels...) ||
			!sample(yield, "connectum_breaker_refused_total", "Calls refused.", true, float64(c.refused.Load()), labels...) {
			return
		}
	}
}

func (b *Breaker) all() []*circuit {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []*circuit
	for _, c := range b.circuits {
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y *circuit) int {
		return cmp.Or(cmp.Compare(x.key.target, y.key.target), cmp.Compare(x.key.procedure, y.key.procedure))
	})
	return out
}

func (b *Breaker) circuit(key circuitKey) *circuit {
	b.mu.RLock()
	c := b.circuits[key]
	b.mu.RUnlock()
	if c != nil {
		return c
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.circuits[key]; c != nil {
		return c
	}
	c = &circuit{key: key}
	c.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(uint(b.cfg.Failures)).
		WithSuccessThreshold(uint(b.cfg.Probes)).
		WithDelay(b.cfg.Delay).
		WithJitterFactor(0.1).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { b.changed(c, e) }).
		Build()
	b.circuits[key] = c
	return c
}

func (b *Breaker) changed(c *circuit, e circuitbreaker.StateChangedEvent) {
	c.era.Add(1)
	level := slog.LevelInfo
	if e.NewState == circuitbreaker.OpenState {
		c.opened.Add(1)
		level = slog.LevelWarn
	}
	log := b.cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	log.LogAttrs(context.Background(), level, "circuit breaker "+e.NewState.String(),
		slog.String("target", c.key.target), slog.String("procedure", c.key.procedure), slog.String("before", e.OldState.String()))
	if b.cfg.OnChange != nil {
		b.cfg.OnChange(BreakerState{c.key.target, c.key.procedure, e.NewState.String()})
	}
}

func (c *circuit) state() BreakerState {
	return BreakerState{c.key.target, c.key.procedure, c.breaker.State().String()}
}

func (c *circuit) refusal() error {
	err := connect.Errorf(connect.CodeUnavailable, "the circuit breaker for %s is %s", c.key.procedure[1:], c.breaker.State()).WithRemote()
	if wait := c.breaker.RemainingDelay(); wait > 0 {
		if detail, failure := connectproto.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); failure == nil {
			err = err.WithDetail(detail)
		}
	}
	return err
}

// fault applies the configured judgement to the verdict err.
func (b *Breaker) fault(err error) (is bool) {
	usual := isFault(err)
	if b.cfg.IsFault == nil {
		return usual
	}
	defer func() {
		if recover() != nil {
			is = true
		}
	}()
	return b.cfg.IsFault(err, usual)
}

// brokenStream reports the first that is known of a call: a message, the end,
// or an error.
type brokenStream struct {
	connect.ClientStream
	breaker *Breaker
	circuit *circuit
	era     int64
	ctx     context.Context
	settled atomic.Bool
}

func (s *brokenStream) Send(msg any) error {
	err := s.ClientStream.Send(msg)
	if err != nil && !errors.Is(err, io.EOF) { // after which Receive has the verdict
		s.settle(err)
	}
	return err
}

func (s *brokenStream) Receive(msg any) error {
	err := s.ClientStream.Receive(msg)
	if errors.Is(err, io.EOF) {
		s.settle(nil)
	} else {
		s.settle(err)
	}
	return err
}

func (s *brokenStream) Close() error {
	err := s.ClientStream.Close()
	s.settle(context.Canceled) // if nothing is known yet, nothing was learnt
	return err
}

func (s *brokenStream) settle(err error) {
	if !s.settled.CompareAndSwap(false, true) || s.circuit.era.Load() != s.era {
		return // told already, or of a state that is over
	}
	err = translate(s.ctx, err)
	switch cb := s.circuit.breaker; {
	case err == nil:
		cb.RecordSuccess()
	case codeOf(err) == connect.CodeCanceled && (s.ctx.Err() != nil || errors.Is(err, context.Canceled)):
		// Given up by its caller. A probe has to say something, though: one
		// that was too slow for its caller is no reason to close.
		if cb.IsHalfOpen() {
			cb.RecordFailure()
		}
	case s.breaker.fault(err):
		cb.RecordFailure()
	default:
		cb.RecordSuccess()
	}
}
