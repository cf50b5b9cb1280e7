// Package load makes calls at a constant rate, whatever the server does with
// them, and measures what their users would have seen.
//
// Calls arrive by the clock: one that can't be sent, because the bound of calls
// in flight is reached, waits, and its latency counts from when it was due. So a
// server that stands still for a second shows as a second for everybody who came
// in it, not as one slow call (which is called coordinated omission).
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The bounds of a run.
const (
	MaxCalls    = 10_000_000
	MaxDuration = time.Hour
	MaxRate     = 100_000
)

// Config is how a run goes.
type Config struct {
	// Rate is the calls that arrive in a second.
	Rate float64
	// Duration is how long calls arrive, after Warmup, whose calls are not
	// measured.
	Duration, Warmup time.Duration
	// MaxInFlight bounds the calls under way at one time. Those that are due
	// wait for one to end.
	MaxInFlight int
	// Timeout bounds one call from when it is sent.
	Timeout time.Duration
	// Call makes the call of that number.
	Call func(ctx context.Context, n int) error
	// Class names an error for the result.
	Class func(error) string
}

// Check refuses what has no bounds.
func (c *Config) Check() error {
	switch {
	case !(c.Rate > 0) || c.Rate > MaxRate:
		return fmt.Errorf("--rate: want more than 0 and at most %d calls a second", MaxRate)
	case c.Duration <= 0 || c.Duration > MaxDuration || c.Warmup < 0 || c.Warmup > MaxDuration:
		return fmt.Errorf("--duration and --warmup: want at most %v", MaxDuration)
	case c.Rate*(c.Duration+c.Warmup).Seconds() > MaxCalls:
		return fmt.Errorf("that is more than %d calls: lower --rate or --duration", MaxCalls)
	case c.MaxInFlight < 1:
		return errors.New("--max-in-flight: want at least 1")
	case c.Timeout <= 0:
		return errors.New("--timeout: want more than 0")
	}
	return nil
}

// slop is the lateness of timers that is nobody's fault but the machine's: an
// arrival that was waited for comes as late as its timer, up to this.
const slop = 2 * time.Millisecond

// Run makes the calls and returns what came of them. It ends by itself: when all
// calls have ended, which takes Timeout longer than Duration at most. When ctx
// ends no more calls are sent, and those in flight get a second.
// Progress, which may be nil, is called about every interval.
func Run(ctx context.Context, cfg Config, interval time.Duration, progress func(Progress)) *Result {
	r := newRecorder(cfg)
	if cfg.Warmup > 0 {
		warm := newRecorder(cfg)
		warm.run(ctx, cfg.Warmup, nil, 0)
		r.next = warm.next
	}
	r.run(ctx, cfg.Duration, progress, interval)
	return r.result(ctx)
}

// run lets calls arrive for so long.
func (r *recorder) run(ctx context.Context, duration time.Duration, progress func(Progress), interval time.Duration) {
	total := max(int(r.cfg.Rate*duration.Seconds()), 1)
	r.begin(total, duration)
	// Calls outlive an interrupt, to be measured, but not for long.
	calls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stopTelling := r.tell(progress, interval)
	defer stopTelling()

	var running sync.WaitGroup
	work := make(chan arrival)
	workers := 0
	giveUp := time.NewTimer(duration + r.cfg.Timeout)
	defer giveUp.Stop()
arrivals:
	for i := range total {
		due := r.start.Add(time.Duration(float64(i) / r.cfg.Rate * float64(time.Second)))
		a := arrival{n: r.next, due: due}
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				break arrivals
			}
			r.late(time.Since(due))
			r.woke = time.Now()
		}
		if a.due.Before(r.woke) && r.woke.Sub(a.due) <= slop {
			a.due = r.woke
		}
		select {
		case work <- a:
		default:
			if workers < r.cfg.MaxInFlight {
				workers++
				running.Go(func() { r.work(calls, work) })
			}
			select {
			case work <- a:
			case <-ctx.Done():
				break arrivals
			case <-giveUp.C:
				break arrivals
			}
		}
		r.next++
		r.sentOne()
	}
	close(work)
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	select {
	case <-ended: // by Timeout at the latest
	case <-ctx.Done():
		grace := time.NewTimer(time.Second)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C:
			cut()
			<-ended
		}
	}
	r.end()
}

// arrival is a call that is due.
type arrival struct {
	n   int
	due time.Time
}

func (r *recorder) work(ctx context.Context, arrivals <-chan arrival) {
	for a := range arrivals {
		call, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		err := r.cfg.Call(call, a.n)
		took := time.Since(a.due)
		wasCut := err != nil && ctx.Err() != nil
		cancel()
		r.record(took, err, wasCut)
	}
}
