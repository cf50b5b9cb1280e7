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
	"github.com/failsafe-go/failsafe-go/bulkhead"

	"github.com/connectum-go/connectum"
)

// BulkheadConfig configures a [Bulkhead].
type BulkheadConfig struct {
	// Capacity bounds the calls of one key that run at one time. A stream
	// counts for as long as it lives. It must be set.
	Capacity int

	// Queue bounds the calls of one key that wait for room, first come first
	// served. Over it calls fail with resource_exhausted. A waiting call
	// whose client leaves, or whose deadline passes, gives up its place at
	// once. The default is 0: nobody waits.
	Queue int

	// MaxWait bounds the wait. The default is the call's own deadline.
	MaxWait time.Duration

	// Key says which calls share the capacity.
	// The default is each procedure on its own.
	Key Key

	// RetryAfter is what refused clients are told to wait. The default is
	// 1 s; negative tells them nothing.
	RetryAfter time.Duration
}

// Bulkhead bounds the calls that run at one time, so that one procedure cannot
// take what all of them need. It is safe for concurrent use.
type Bulkhead struct {
	cfg BulkheadConfig

	mu      sync.Mutex
	fixed   []*room          // by procedure
	keyed   map[string]*room // by Key; only those in use
	refused atomic.Int64     // of keyed rooms
}

// room is the capacity that calls of one key share.
type room struct {
	procedure string
	permits   bulkhead.Bulkhead[any]
	users     atomic.Int64 // running and waiting
	refused   atomic.Int64
	holders   int // of a keyed room; guarded by Bulkhead.mu
}

// NewBulkhead returns a bulkhead for cfg. What is wrong with cfg is a start
// error of the server.
func NewBulkhead(cfg BulkheadConfig) *Bulkhead {
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, time.Second)
	return &Bulkhead{cfg: cfg, keyed: map[string]*room{}}
}

// Interceptor returns the bulkhead as a link of a server's chain.
func (b *Bulkhead) Interceptor() connectum.Interceptor {
	return connectum.Interceptor{Name: "bulkhead", Bind: b.bind, Done: b.check}
}

// String tells the settings on one line.
func (b *Bulkhead) String() string {
	return fmt.Sprintf("capacity %d, queue %d", b.cfg.Capacity, b.cfg.Queue)
}

// Metrics yields what the bulkhead measures, for [connectum.Server.AddMetrics].
func (b *Bulkhead) Metrics(yield func(connectum.Sample) bool) {
	b.mu.Lock()
	fixed := b.fixed
	var running, waiting int64
	for _, r := range b.keyed {
		n, w := b.split(r.users.Load())
		running, waiting = running+n, waiting+w
	}
	b.mu.Unlock()
	one := func(running, waiting, refused int64, labels ...connectum.Label) bool {
		return sample(yield, "connectum_bulkhead_running", "Calls that hold a place.", false, float64(running), labels...) &&
			sample(yield, "connectum_bulkhead_waiting", "Calls that wait for a place.", false, float64(waiting), labels...) &&
			sample(yield, "connectum_bulkhead_refused_total", "Calls refused for want of a place.", true, float64(refused), labels...)
	}
	if b.cfg.Key != nil {
		one(running, waiting, b.refused.Load())
		return
	}
	for _, r := range fixed {
		n, w := b.split(r.users.Load())
		if !one(n, w, r.refused.Load(), connectum.Label{Name: "procedure", Value: r.procedure}) {
			return
		}
	}
}

func (b *Bulkhead) check() error {
	var faults []error
	if b.cfg.Capacity <= 0 {
		faults = append(faults, fmt.Errorf("BulkheadConfig.Capacity is %d: it must be positive", b.cfg.Capacity))
	}
	if b.cfg.Queue < 0 {
		faults = append(faults, fmt.Errorf("BulkheadConfig.Queue is %d: it must not be negative", b.cfg.Queue))
	}
	if b.cfg.MaxWait < 0 {
		faults = append(faults, fmt.Errorf("BulkheadConfig.MaxWait is %v: it must not be negative", b.cfg.MaxWait))
	}
	return errors.Join(faults...)
}

func (b *Bulkhead) bind(spec connect.Spec) (connect.ServerInterceptor, error) {
	if b.check() != nil {
		return nil, nil // reported once, by Done
	}
	if b.cfg.Key != nil {
		return b.serveKeyed, nil
	}
	r := b.newRoom(spec.Procedure)
	b.mu.Lock()
	b.fixed = append(b.fixed[:len(b.fixed):len(b.fixed)], r)
	b.mu.Unlock()
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			if err := b.enter(ctx, r); err != nil {
				return err
			}
			defer r.leave()
			return next(ctx, spec, stream)
		}
	}, nil
}

func (b *Bulkhead) serveKeyed(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		key := b.cfg.Key(ctx, spec)
		r := b.hold(key)
		defer b.drop(key, r)
		if err := b.enter(ctx, r); err != nil {
			return err
		}
		defer r.leave()
		return next(ctx, spec, stream)
	}
}

func (b *Bulkhead) newRoom(procedure string) *room {
	return &room{procedure: procedure, permits: bulkhead.New[any](uint(b.cfg.Capacity))}
}

// hold returns the room of key. A room exists while a call holds it, so there
// are never more of them than calls, whatever clients send.
func (b *Bulkhead) hold(key string) *room {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.keyed[key]
	if r == nil {
		r = b.newRoom("")
		b.keyed[key] = r
	}
	r.holders++
	return r
}

func (b *Bulkhead) drop(key string, r *room) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.holders--; r.holders == 0 {
		delete(b.keyed, key)
	}
}

// enter takes a place in r, waiting for it in the queue if there is one.
func (b *Bulkhead) enter(ctx context.Context, r *room) error {
	if n := r.users.Add(1); n > int64(b.cfg.Capacity+b.cfg.Queue) {
		running, waiting := b.split(r.users.Add(-1))
		return b.full(r, running, waiting)
	}
	if r.permits.TryAcquirePermit() {
		return nil
	}
	// Waiters are served in the order of their coming.
	var err error
	if b.cfg.MaxWait > 0 {
		err = r.permits.AcquirePermitWithMaxWait(ctx, b.cfg.MaxWait)
	} else {
		err = r.permits.AcquirePermit(ctx)
	}
	if err == nil {
		return nil
	}
	running, waiting := b.split(r.users.Add(-1))
	if errors.Is(err, bulkhead.ErrFull) {
		return b.full(r, running, waiting)
	}
	return err // the context's: the call has ended
}

func (r *room) leave() {
	r.permits.ReleasePermit()
	r.users.Add(-1)
}

func (b *Bulkhead) full(r *room, running, waiting int64) error {
	r.refused.Add(1)
	b.refused.Add(1)
	return refuse(b.cfg.RetryAfter, "the limit of calls at one time is reached: %d of %d run, %d of %d wait",
		running, b.cfg.Capacity, waiting, b.cfg.Queue)
}

// split tells those that run from those that wait.
func (b *Bulkhead) split(users int64) (running, waiting int64) {
	running = min(users, int64(b.cfg.Capacity))
	return running, min(users-running, int64(b.cfg.Queue))
}
