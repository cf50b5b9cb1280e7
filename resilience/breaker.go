package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
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
	// fault opens it again. A probe of which nothing is known after another
	// Delay is a fault, but for streams of answers, which may well be silent:
	// one that lives so long has succeeded. The default is 1.
	Probes int

	// IsFault decides whether the verdict err of a call, never nil, counts as
	// a fault; usual is what the default says. A panic in it counts as a
	// fault. The default is unavailable, deadline_exceeded, internal,
	// unknown and data_loss: a code that a healthy server gives on purpose is
	// a success, and a call that its caller cancels says nothing.
	IsFault func(err error, usual bool) bool

	// OnChange is called when a breaker changes its state, after that has
	// been logged; for one breaker it is called for one change after the
	// other. The default is nobody.
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
	opened  atomic.Int64
	refused atomic.Int64

	mu      sync.Mutex // held while breaker takes or is told anything
	era     int        // grows with every change of state
	changes []circuitbreaker.StateChangedEvent
	telling bool // somebody is telling of changes
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
			watched := &watchedStream{breaker: b, circuit: c, ctx: ctx}
			if !b.enter(watched, spec) {
				c.refused.Add(1)
				return nil, c.refusal()
			}
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
		OnStateChanged(c.note).
		Build()
	b.circuits[key] = c
	return c
}

// enter reports whether the call may be made, as a probe if need be.
func (b *Breaker) enter(s *watchedStream, spec connect.Spec) bool {
	c := s.circuit
	c.mu.Lock()
	ok := c.breaker.TryAcquirePermit()
	s.era = c.era
	if ok && c.breaker.IsHalfOpen() {
		// Whatever becomes of a probe, its place must not be lost: while it is
		// taken nobody calls.
		s.probe = time.AfterFunc(b.cfg.Delay, func() {
			if spec.StreamType&connect.StreamTypeServer != 0 {
				s.settle(nil)
			} else {
				s.settle(connect.NewError(connect.CodeDeadlineExceeded, "the probe took too long"))
			}
		})
	}
	c.mu.Unlock()
	b.tell(c)
	return ok
}

// tell tells of changes of state, one after the other.
func (b *Breaker) tell(c *circuit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.telling {
		return // by whoever is telling, this goroutine perhaps
	}
	c.telling = true
	defer func() { c.telling = false }()
	for len(c.changes) > 0 {
		e := c.changes[0]
		c.changes = c.changes[1:]
		func() {
			c.mu.Unlock()
			defer c.mu.Lock()
			b.changed(c, e)
		}()
	}
}

func (b *Breaker) changed(c *circuit, e circuitbreaker.StateChangedEvent) {
	level := slog.LevelInfo
	if e.NewState == circuitbreaker.OpenState {
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

// note keeps a change until it is told; c.mu is held.
func (c *circuit) note(e circuitbreaker.StateChangedEvent) {
	c.era++
	c.changes = append(c.changes, e)
	if e.NewState == circuitbreaker.OpenState {
		c.opened.Add(1)
	}
}

func (c *circuit) state() BreakerState {
	return BreakerState{c.key.target, c.key.procedure, c.breaker.State().String()}
}

func (c *circuit) refusal() error {
	err := connect.Errorf(connect.CodeUnavailable, "the circuit breaker for %s is %s", strings.TrimPrefix(c.key.procedure, "/"), c.breaker.State()).WithRemote()
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

// watchedStream reports the first that is known of a call: a message, the end,
// or an error.
type watchedStream struct {
	connect.ClientStream
	breaker *Breaker
	circuit *circuit
	era     int
	ctx     context.Context
	probe   *time.Timer // of a call that probes
	settled atomic.Bool
}

func (s *watchedStream) Send(msg any) error {
	err := s.ClientStream.Send(msg)
	if err != nil && !errors.Is(err, io.EOF) { // after which Receive has the verdict
		s.settle(err)
	}
	return err
}

func (s *watchedStream) Receive(msg any) error {
	err := s.ClientStream.Receive(msg)
	if errors.Is(err, io.EOF) {
		s.settle(nil)
	} else {
		s.settle(err)
	}
	return err
}

func (s *watchedStream) Close() error {
	err := s.ClientStream.Close()
	s.settle(context.Canceled) // if nothing is known yet, nothing was learnt
	return err
}

func (s *watchedStream) settle(err error) {
	if !s.settled.CompareAndSwap(false, true) {
		return
	}
	err = translate(s.ctx, err)
	abandoned := codeOf(err) == connect.CodeCanceled && (s.ctx.Err() != nil || errors.Is(err, context.Canceled))
	fault := err != nil && !abandoned && s.breaker.fault(err)
	defer s.breaker.tell(s.circuit)
	s.circuit.mu.Lock()
	defer s.circuit.mu.Unlock()
	if s.probe != nil {
		s.probe.Stop()
	}
	switch cb := s.circuit.breaker; {
	case s.circuit.era != s.era: // it tells of a state that is over
	case fault, abandoned && cb.IsHalfOpen():
		// A probe has to say something: one that was too slow for its caller
		// is no reason to close.
		cb.RecordFailure()
	case !abandoned:
		cb.RecordSuccess()
	}
}
