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
	// once; only that the client of a stream of requests over HTTP/1.1 has
	// left is not seen before it is read. The default is 0: nobody waits.
	Queue int

	// MaxWait bounds the wait. The default is the call's own deadline.
	MaxWait time.Duration

	// Key says which calls share the capacity.
	// The default is each procedure on its own.
	Key Key

	// RetryAfter is what refused clients are told to wait. The default is
	// 1 s; negative tells them nothing.
	RetryAfter time.Duration

	// Name tells the metrics of this bulkhead from those of others of the
	// same server. The default is no name, which is right for one.
	Name string
}

// Bulkhead bounds the calls that run at one time, so that one procedure cannot
// take what all of them need. Servers that share a Bulkhead share its places.
// It is safe for concurrent use.
type Bulkhead struct {
	cfg BulkheadConfig

	mu      sync.Mutex
	fixed   []*room          // one for each procedure
	keyed   map[string]*room // by Key; only those in use
	refused atomic.Int64     // of keyed rooms
}

// room is the capacity that calls of one key share.
type room struct {
	procedure string
	permits   bulkhead.Bulkhead[any]
	users     atomic.Int64 // running and waiting
	running   atomic.Int64
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
	return connectum.Interceptor{Name: "bulkhead", Bind: b.bind, Done: func([]connect.Spec) error { return b.check() }}
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
		n, w := r.used()
		running, waiting = running+n, waiting+w
	}
	b.mu.Unlock()
	one := func(running, waiting, refused int64, labels ...connectum.Label) bool {
		labels = named(b.cfg.Name, labels...)
		return sample(yield, "connectum_bulkhead_running", "Calls that hold a place.", false, float64(running), labels...) &&
			sample(yield, "connectum_bulkhead_waiting", "Calls that wait for a place.", false, float64(waiting), labels...) &&
			sample(yield, "connectum_bulkhead_refused_total", "Calls refused for want of a place.", true, float64(refused), labels...)
	}
	if b.cfg.Key != nil {
		one(running, waiting, b.refused.Load())
		return
	}
	for _, r := range fixed {
		n, w := r.used()
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
	r := b.of(spec.Procedure)
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			return b.serve(ctx, spec, stream, next, r)
		}
	}, nil
}

func (b *Bulkhead) serveKeyed(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		key := b.cfg.Key(ctx, spec)
		r := b.hold(key)
		defer b.drop(key, r)
		return b.serve(ctx, spec, stream, next, r)
	}
}

// serve gives the call a place in r, if it has to by waiting in the queue.
func (b *Bulkhead) serve(ctx context.Context, spec connect.Spec, stream connect.ServerStream, next connect.ServerFunc, r *room) error {
	if !b.come(r) {
		running, waiting := r.used()
		return b.refuse(r, "%d of %d run, %d of %d wait", running, b.cfg.Capacity, waiting, b.cfg.Queue)
	}
	defer r.users.Add(-1)
	if !waits(stream) && r.permits.TryAcquirePermit() {
		r.running.Add(1)
		defer r.leave()
		return next(ctx, spec, stream)
	}
	entered := false
	defer func() {
		if entered {
			r.leave()
		}
	}()
	return await(ctx, spec, stream, next, func() error {
		err := b.wait(ctx, r)
		entered = err == nil
		return err
	})
}

// come counts the call in, unless there are as many as may run and wait.
func (b *Bulkhead) come(r *room) bool {
	for {
		n := r.users.Load()
		if n-int64(b.cfg.Capacity) >= int64(b.cfg.Queue) {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// wait waits for a place. Those who wait are served in the order of their
// coming.
func (b *Bulkhead) wait(ctx context.Context, r *room) error {
	var err error
	if b.cfg.MaxWait > 0 {
		err = r.permits.AcquirePermitWithMaxWait(ctx, b.cfg.MaxWait)
	} else {
		err = r.permits.AcquirePermit(ctx)
	}
	if errors.Is(err, bulkhead.ErrFull) {
		running, waiting := r.used()
		return b.refuse(r, "no room within %v: %d of %d run, %d of %d wait",
			b.cfg.MaxWait, running, b.cfg.Capacity, waiting-1, b.cfg.Queue) // less this one
	}
	if err == nil {
		r.running.Add(1)
	}
	return err // or the context's: the call has ended
}

func (b *Bulkhead) refuse(r *room, format string, args ...any) error {
	r.refused.Add(1)
	b.refused.Add(1)
	return refuse(b.cfg.RetryAfter, "the limit of calls at one time is reached: "+format, args...)
}

// of returns the room of a procedure.
func (b *Bulkhead) of(procedure string) *room {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.fixed {
		if r.procedure == procedure {
			return r
		}
	}
	r := b.newRoom(procedure)
	b.fixed = append(b.fixed[:len(b.fixed):len(b.fixed)], r)
	return r
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

func (b *Bulkhead) newRoom(procedure string) *room {
	return &room{procedure: procedure, permits: bulkhead.New[any](uint(b.cfg.Capacity))}
}

func (r *room) leave() {
	r.running.Add(-1)
	r.permits.ReleasePermit()
}

// used tells those that run from those that wait.
func (r *room) used() (running, waiting int64) {
	running = r.running.Load()
	return running, max(r.users.Load()-running, 0)
}
