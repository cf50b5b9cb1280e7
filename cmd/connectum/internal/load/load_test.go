package load_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/cmd/connectum/internal/load"
)

func config(call func(context.Context, int) error) load.Config {
	return load.Config{
		Rate: 100, Duration: 10 * time.Second, MaxInFlight: 10, Timeout: 5 * time.Second,
		Call: call, Class: func(err error) string { return err.Error() },
	}
}

// work takes d, or ends with ctx.
func work(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// above counts the calls that took longer than d.
func above(r *load.Result, d time.Duration) int {
	n := 0
	for _, b := range r.Bars {
		if b.UpTo > d.Seconds()*1.001 {
			n += b.Count
		}
	}
	return n
}

func TestCallsArriveByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []time.Duration
		begin := time.Now()
		r := load.Run(t.Context(), config(func(ctx context.Context, n int) error {
			mu.Lock()
			at = append(at, time.Since(begin))
			mu.Unlock()
			return work(ctx, 50*time.Millisecond)
		}), 0, nil)
		if r.Calls != 1000 || r.OK != 1000 || r.NotSent != 0 || r.Failed() != 0 {
			t.Errorf("%+v", r)
		}
		for i, d := range at {
			if want := time.Duration(i) * 10 * time.Millisecond; d.Round(time.Microsecond) != want {
				t.Fatalf("call %d is sent at %v, not %v", i, d, want)
			}
		}
		if r.Latency.P50 < 0.0499 || r.Latency.Max > 0.0501 {
			t.Errorf("latency %+v", r.Latency)
		}
	})
}

// A server that stands still for a second is felt by all who come in it. The
// control measures the same run from when calls are sent, as closed loops do,
// and sees the ten that were under way.
func TestAServerThatStandsStillIsFeltByAllWhoComeThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex
		omitting := 0
		r := load.Run(t.Context(), config(func(ctx context.Context, n int) error {
			sent := time.Now()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if time.Since(sent) > 100*time.Millisecond {
					omitting++
				}
			}()
			if at := time.Since(begin); at >= 5*time.Second && at < 6*time.Second {
				return work(ctx, 6*time.Second-at)
			}
			return work(ctx, time.Millisecond)
		}), 0, nil)
		if r.OK != 1000 {
			t.Errorf("%+v", r)
		}
		if felt := above(r, 100*time.Millisecond); felt < 80 || felt > 120 {
			t.Errorf("%d calls took longer than 100 ms, want about 90", felt)
		}
		if omitting > 10 {
			t.Errorf("the control sees %d slow calls", omitting)
		}
		if math.Abs(r.Latency.Max-1) > 0.01 {
			t.Errorf("the slowest took %v s, want 1", r.Latency.Max)
		}
	})
}

func TestARateThatIsNotReachedIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := load.Run(t.Context(), config(func(ctx context.Context, n int) error { return work(ctx, time.Second) }), 0, nil)
		// Ten at a time, for 10 s and the 5 s of the timeout.
		if r.NotSent == 0 || r.OK+r.NotSent != r.Calls {
			t.Errorf("%+v", r)
		}
		if took := time.Since(begin); took > 16*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCallsThatFailAreCountedByClass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := load.Run(t.Context(), config(func(ctx context.Context, n int) error {
			switch {
			case n%10 == 0:
				return errors.New("bad")
			case n == 1:
				return work(ctx, time.Minute)
			}
			return nil
		}), 0, nil)
		if r.Errors["bad"] != 100 || r.Errors[context.DeadlineExceeded.Error()] != 1 || r.OK != 899 || r.Failed() != 101 {
			t.Errorf("%+v", r)
		}
		if r.ErrorLatency.Max < 4.99 || r.Latency.Max > 0.001 {
			t.Errorf("the latency of errors is %+v, of the others %+v", r.ErrorLatency, r.Latency)
		}
	})
}

func TestAnInterruptEndsTheRunAndKeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2005*time.Millisecond, cancel)
		begin := time.Now()
		r := load.Run(ctx, config(func(ctx context.Context, n int) error {
			if n == 200 {
				return work(ctx, 4*time.Second)
			}
			return work(ctx, 100*time.Millisecond)
		}), 0, nil)
		if !r.Interrupted || r.OK != 200 || r.Cut != 1 || r.NotSent != 1000-201 {
			t.Errorf("%+v", r)
		}
		if took := time.Since(begin); took > 3100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTheWarmUpIsNotMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(func(ctx context.Context, n int) error {
			if n < 100 {
				return errors.New("cold")
			}
			return nil
		})
		cfg.Warmup = time.Second
		told := 0
		r := load.Run(t.Context(), cfg, time.Second, func(p load.Progress) {
			told++
			if p.Total != 1000 || p.Failed != 0 {
				t.Errorf("progress %+v", p)
			}
		})
		if r.Failed() != 0 || r.OK != 1000 || told < 9 {
			t.Errorf("%+v, told %d times", r, told)
		}
	})
}

func TestRunsWithoutBoundsAreRefused(t *testing.T) {
	t.Parallel()
	good := config(nil)
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*load.Config){
		"no rate":     func(c *load.Config) { c.Rate = 0 },
		"NaN":         func(c *load.Config) { c.Rate = math.NaN() },
		"high rate":   func(c *load.Config) { c.Rate = 1e9 },
		"no duration": func(c *load.Config) { c.Duration = 0 },
		"days":        func(c *load.Config) { c.Duration = 24 * time.Hour },
		"warm-up":     func(c *load.Config) { c.Warmup = -1 },
		"many calls":  func(c *load.Config) { c.Rate, c.Duration = 90_000, time.Hour },
		"in flight":   func(c *load.Config) { c.MaxInFlight = 0 },
		"no timeout":  func(c *load.Config) { c.Timeout = 0 },
	} {
		c := good
		spoil(&c)
		if c.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
