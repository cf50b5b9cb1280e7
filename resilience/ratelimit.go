package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// RateLimitConfig configures a [RateLimit].
type RateLimitConfig struct {
	// Calls is how many calls of one key may begin in each Per on average,
	// at most one each nanosecond. It must be set. Per defaults to 1 s.
	Calls int
	Per   time.Duration

	// Burst is how many of them may begin at once. The default is Calls.
	Burst int

	// Key says which calls share the rate.
	// The default is each procedure on its own.
	Key Key

	// MaxKeys bounds the keys that are remembered, and with them memory: a
	// key takes some 50 bytes, whatever its length. When there are more, keys
	// that have used nothing lately are forgotten, which costs nobody
	// anything; if that is not enough, new keys share one rate.
	// The default is 10 000.
	MaxKeys int

	// Name tells the metrics of this rate limit from those of others of the
	// same server. The default is no name, which is right for one.
	Name string
}

// RateLimit bounds how often calls begin. A refused client is told with
// google.rpc.RetryInfo when there is room again. Servers that share a RateLimit
// share its rates. It is safe for concurrent use.
type RateLimit struct {
	cfg      RateLimitConfig
	interval time.Duration // between calls
	seed     maphash.Seed
	refused  atomic.Int64

	mu    sync.Mutex
	began time.Time          // the first call
	fixed map[string]*bucket // by procedure
	keys  map[uint64]*bucket // by a hash of the key: clients choose how long keys are
	rest  bucket             // of the keys there is no room for
	swept time.Duration      // when idle keys were last forgotten
}

// bucket holds the time at which everything taken so far would have been due
// (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T
// I.371), counted from RateLimit.began.
type bucket struct{ due time.Duration }

// longest is the longest time reckoned with, in nanoseconds: sums of two fit.
const longest = int64(100 * 365 * 24 * time.Hour)

// NewRateLimit returns a rate limit for cfg. What is wrong with cfg is a start
// error of the server.
func NewRateLimit(cfg RateLimitConfig) *RateLimit {
	cfg.Per = cmp.Or(cfg.Per, time.Second)
	cfg.Burst = cmp.Or(cfg.Burst, cfg.Calls)
	cfg.MaxKeys = cmp.Or(cfg.MaxKeys, 10_000)
	return &RateLimit{
		cfg: cfg, interval: cfg.Per / time.Duration(max(cfg.Calls, 1)), seed: maphash.MakeSeed(),
		fixed: map[string]*bucket{}, keys: map[uint64]*bucket{},
	}
}

// Interceptor returns the rate limit as a link of a server's chain.
func (r *RateLimit) Interceptor() connectum.Interceptor {
	return connectum.Interceptor{Name: "rate-limit", Bind: r.bind, Done: func([]connect.Spec) error { return r.check() }}
}

// String tells the settings on one line.
func (r *RateLimit) String() string {
	return fmt.Sprintf("%d calls in %v, %d at once", r.cfg.Calls, r.cfg.Per, r.cfg.Burst)
}

// Metrics yields what the rate limit measures, for [connectum.Server.AddMetrics].
func (r *RateLimit) Metrics(yield func(connectum.Sample) bool) {
	r.mu.Lock()
	keys := len(r.keys)
	r.mu.Unlock()
	labels := named(r.cfg.Name)
	_ = sample(yield, "connectum_ratelimit_keys", "Keys that are remembered.", false, float64(keys), labels...) &&
		sample(yield, "connectum_ratelimit_refused_total", "Calls refused by the rate limit.", true, float64(r.refused.Load()), labels...)
}

func (r *RateLimit) check() error {
	var faults []error
	if r.cfg.Calls <= 0 {
		faults = append(faults, fmt.Errorf("RateLimitConfig.Calls is %d: it must be positive", r.cfg.Calls))
	}
	if r.cfg.Per < 0 {
		faults = append(faults, fmt.Errorf("RateLimitConfig.Per is %v: it must not be negative", r.cfg.Per))
	}
	if r.cfg.Burst < 0 {
		faults = append(faults, fmt.Errorf("RateLimitConfig.Burst is %d: it must not be negative", r.cfg.Burst))
	}
	if r.cfg.Per > 0 && r.interval < 1 {
		faults = append(faults, fmt.Errorf("RateLimitConfig.Calls is %d in %v: it must be at most one each nanosecond", r.cfg.Calls, r.cfg.Per))
	}
	if r.interval > 0 && int64(r.cfg.Burst) > longest/int64(r.interval) {
		faults = append(faults, fmt.Errorf("RateLimitConfig.Burst is %d: that many calls take more than 100 years", r.cfg.Burst))
	}
	if r.cfg.MaxKeys < 0 {
		faults = append(faults, fmt.Errorf("RateLimitConfig.MaxKeys is %d: it must not be negative", r.cfg.MaxKeys))
	}
	return errors.Join(faults...)
}

func (r *RateLimit) bind(spec connect.Spec) (connect.ServerInterceptor, error) {
	if r.check() != nil {
		return nil, nil // reported once, by Done
	}
	own := r.of(spec.Procedure)
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			b := own
			key := ""
			if r.cfg.Key != nil {
				b, key = nil, r.cfg.Key(ctx, spec)
			}
			if waits(stream) {
				return await(ctx, spec, stream, next, func() error { return r.enter(b, key) })
			}
			if err := r.enter(b, key); err != nil {
				return err
			}
			return next(ctx, spec, stream)
		}
	}, nil
}

// enter takes one call from b, or from the bucket of key if b is nil, or refuses
// it.
func (r *RateLimit) enter(b *bucket, key string) error {
	if wait := r.take(b, key); wait > 0 {
		r.refused.Add(1)
		return refuse(wait, "the limit of %d calls in %v is reached", r.cfg.Calls, r.cfg.Per)
	}
	return nil
}

// of returns the bucket of a procedure.
func (r *RateLimit) of(procedure string) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.fixed[procedure]
	if b == nil {
		b = new(bucket)
		r.fixed[procedure] = b
	}
	return b
}

// take takes one call from b, or from the bucket of key if b is nil, and
// returns 0, or how long it is until there is one to take.
func (r *RateLimit) take(b *bucket, key string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = time.Now()
	}
	now := time.Since(r.began)
	if b == nil {
		b = r.find(maphash.String(r.seed, key), now)
	}
	due := max(now, b.due) + r.interval
	if wait := due - now - time.Duration(r.cfg.Burst)*r.interval; wait > 0 {
		return wait
	}
	b.due = due
	return 0
}

// find returns the bucket of key. r.mu must be held.
func (r *RateLimit) find(key uint64, now time.Duration) *bucket {
	if b := r.keys[key]; b != nil {
		return b
	}
	if len(r.keys) >= r.cfg.MaxKeys && now-r.swept >= min(r.cfg.Per, time.Second) {
		r.swept = now
		for k, b := range r.keys {
			if b.due <= now { // as good as new
				delete(r.keys, k)
			}
		}
	}
	if len(r.keys) >= r.cfg.MaxKeys {
		return &r.rest
	}
	b := new(bucket)
	r.keys[key] = b
	return b
}
