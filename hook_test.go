package connectum_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
)

// Behaviours 21, 22, 24 and 27.
func TestShutdownRunsHooksAfterTheirDependencies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		srv := connectum.New(quiet())
		hook := func(name string) func() { return func() { time.Sleep(time.Second); j.add(name) } }
		srv.OnShutdown("a", hook("a"), "b", "c")
		srv.OnShutdown("b", hook("b"), "d")
		srv.OnShutdown("c", func() error { time.Sleep(1100 * time.Millisecond); j.add("c"); return errors.New("c failed") }, "d")
		srv.OnShutdown("d", hook("d"))
		srv.OnShutdown("d", func(context.Context) error { j.add("d2"); return errors.New("d2 failed") })
		began := time.Now()
		err := srv.Shutdown(t.Context())
		if got := j.String(); got != "d2 d b c a" {
			t.Errorf("order %q", got)
		}
		if took := time.Since(began); took != 3100*time.Millisecond { // behaviour 23: b and c together
			t.Errorf("took %v", took)
		}
		for _, want := range []string{`hook "c": c failed`, `hook "d": d2 failed`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	})
}

// Behaviour 67: hooks that hang or panic are named, take only their share of the
// budget, and stop nobody.
func TestHooksThatHangOrPanicStopNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var log logbook
		cfg := quiet()
		cfg.Shutdown.Timeout = 8 * time.Second
		cfg.Logger = log.logger()
		srv := connectum.New(cfg)
		release := make(chan struct{})
		srv.OnShutdown("hangs", func() { waitForRelease(release) })
		srv.OnShutdown("heeds", func(ctx context.Context) error { <-ctx.Done(); j.add("heeds"); return ctx.Err() })
		srv.OnShutdown("panics", func() { panic("oops") })
		srv.OnShutdown("after", func() { j.add("after") }, "hangs", "panics")
		began := time.Now()
		err := srv.Shutdown(t.Context())
		if took := time.Since(began); took > 8100*time.Millisecond {
			t.Errorf("took %v of 8s", took)
		}
		if j.String() != "after heeds" {
			t.Errorf("ran %q", j.String())
		}
		for _, want := range []string{`"hangs" did not finish within 4s`, `"heeds": context deadline exceeded`, `"panics" panicked: oops`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
		for line := range strings.Lines(log.String()) { // where it hangs is told of the one that hangs alone
			if hangs := strings.Contains(line, "hook=hangs"); strings.Contains(line, "connectum_test.waitForRelease ") != hangs {
				t.Errorf("of %s", line)
			}
		}
		close(release)
	})
}

//go:noinline
func waitForRelease(release <-chan struct{}) { <-release }

// Behaviours 19, 25 and 26.
func TestHooksAreFunctionsOfFourKinds(t *testing.T) {
	t.Parallel()
	var j journal
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	srv := connectum.New(cfg)
	srv.OnShutdown("1", func() { j.add("1") })
	srv.OnShutdown("2", func() error { j.add("2"); return nil }, "1")
	srv.OnShutdown("3", func(context.Context) { j.add("3") }, "2")
	srv.OnShutdown("4", func(context.Context) error { j.add("4"); return nil }, "3")
	for _, wrong := range []any{nil, 1, func(int) {}, func() int { return 1 }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T was taken", wrong)
				}
			}()
			srv.OnShutdown("wrong", wrong)
		}()
	}
	if err := srv.Shutdown(t.Context()); err != nil || j.String() != "1 2 3 4" {
		t.Errorf("%v, ran %q", err, j.String())
	}
	srv.OnShutdown("late", func() { t.Error("a late hook ran") })
	if !strings.Contains(log.String(), "too late") || !strings.Contains(log.String(), "hook=late") {
		t.Errorf("a late hook is not told of:\n%s", &log)
	}
	if err := connectum.New(quiet()).Shutdown(t.Context()); err != nil {
		t.Errorf("without hooks: %v", err)
	}
}

// Behaviour 25: hooks that wait for each other are a start error that names the
// way round, and yet everything is closed.
func TestHooksThatWaitForEachOtherAreAStartError(t *testing.T) {
	t.Parallel()
	for want, after := range map[string]map[string]string{
		": a → a":         {"a": "a"},
		": a → b → a":     {"a": "b", "b": "a"},
		": b → c → d → b": {"a": "b", "b": "c", "c": "d", "d": "b"},
	} {
		var j journal
		srv := connectum.New(quiet())
		for _, name := range slices.Sorted(maps.Keys(after)) {
			srv.OnShutdown(name, func() { j.add(name) }, after[name])
		}
		srv.OnShutdown("free", func() { j.add("free") })
		err := srv.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: %v, want %q", err, want)
		}
		if n := len(strings.Fields(j.String())); n != len(after)+1 {
			t.Errorf("%d hooks ran: %q", n, j.String())
		}
	}
}

// However many ways lead from one hook to another, the stop takes no time to find the
// longest; also when they lead back, and the server does not start.
func TestManyHooksThatWaitForManyStopAtOnce(t *testing.T) {
	t.Parallel()
	const layers, wide = 20, 4
	name := func(layer, i int) string { return fmt.Sprintf("hook %d/%d", layer, i) }
	for _, cycle := range []bool{false, true} {
		srv := connectum.New(quiet())
		var ran atomic.Int64
		for layer := range layers {
			var before []string
			if layer > 0 || cycle {
				for i := range wide {
					before = append(before, name((layer+layers-1)%layers, i))
				}
			}
			for i := range wide {
				srv.OnShutdown(name(layer, i), func() { ran.Add(1) }, before...)
			}
		}
		done := make(chan error, 1)
		go func() { done <- srv.Run(ended()) }()
		select {
		case err := <-done:
			if (err != nil) != cycle {
				t.Errorf("cycle %v: %v", cycle, err)
			}
		case <-time.After(patience):
			t.Fatal("Run does not return")
		}
		if n := ran.Load(); n != layers*wide {
			t.Errorf("cycle %v: %d hooks ran, want %d", cycle, n, layers*wide)
		}
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Whoever stops at once waits for no drain delay, and gives hooks a second of what
// they would have.
func TestHooksOfAForcedStopHaveASecond(t *testing.T) {
	t.Parallel()
	for forced, want := range map[bool]time.Duration{false: 7 * time.Second, true: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quiet()
			cfg.Shutdown.DrainDelay = 10 * time.Second
			srv := connectum.New(cfg)
			var had time.Duration
			srv.OnShutdown("hook", func(ctx context.Context) {
				began := time.Now()
				<-ctx.Done()
				had = time.Since(began)
			})
			ended := make(chan error, 1)
			go func() { ended <- srv.Serve(context.Background(), newMemory()) }()
			synctest.Wait()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if forced {
				cancel()
			}
			began := time.Now()
			_ = srv.Shutdown(ctx)
			<-ended
			if took := time.Since(began); (took < 3*time.Second) != forced {
				t.Errorf("forced %v: the stop took %v", forced, took)
			}
			if forced && had != want || had < want {
				t.Errorf("forced %v: the hook had %v, want %v", forced, had, want)
			}
		})
	}
}
