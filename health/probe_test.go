package health_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/leak"
)

func TestProbesThatMisbehaveAreFailingProbes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		probe        func(ctx context.Context, end <-chan struct{}) error
	}{
		{"error", "connection refused", func(context.Context, <-chan struct{}) error { return errors.New("connection refused") }},
		{"long error", strings.Repeat("x", 512) + "...", func(context.Context, <-chan struct{}) error { return errors.New(strings.Repeat("x", 10_000)) }},
		{"panic", "the probe panicked: boom", func(context.Context, <-chan struct{}) error { panic("boom") }},
		{"goexit", "the probe called runtime.Goexit", func(context.Context, <-chan struct{}) error { runtime.Goexit(); return nil }},
		{"waits for its context", "the probe took longer than 2s", func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() }},
		{"says well too late", "the probe took longer than 2s", func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return nil }},
		{"hangs", "the probe took longer than 2s", func(_ context.Context, end <-chan struct{}) error { <-end; return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				t.Cleanup(func() { close(end) })
				srv, checks := server(connectum.Config{}, health.WithDetails())
				checks.Add("database", func(ctx context.Context) error { return c.probe(ctx, end) })
				r := run(t, srv)
				<-time.After(2100 * time.Millisecond)
				synctest.Wait()
				equal(t, "Check", inProcess(srv).check(t.Context(), ""), "NOT_SERVING")
				check := fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz?verbose").json(t)["checks"].([]any)[0].(map[string]any)
				equal(t, "status", check["status"], "NOT_SERVING")
				equal(t, "reason", check["reason"], c.reason)
				began := time.Now()
				if err := srv.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the stop took %v", took)
				}
			})
		})
	}
}

func TestProbeThatHangsIsNotCalledAgainBeforeItReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv, checks := server(connectum.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, health.WithDetails())
		release, calls := make(chan struct{}), atomic.Int64{}
		checks.Add("database", func(context.Context) error {
			if calls.Add(1) == 2 {
				<-release
			}
			return nil
		}, health.WithSchedule(health.Schedule{Interval: time.Second, Jitter: -1, Failures: 1, Timeout: 500 * time.Millisecond}))
		r := run(t, srv)
		<-time.After(1400 * time.Millisecond)
		equal(t, "status within the timeout", inProcess(srv).check(t.Context(), ""), "SERVING")
		<-time.After(200 * time.Millisecond)
		equal(t, "status after it", inProcess(srv).check(t.Context(), ""), "NOT_SERVING")
		<-time.After(time.Minute)
		synctest.Wait()
		equal(t, "calls while it hangs", calls.Load(), int64(2))
		equal(t, "status while it hangs", inProcess(srv).check(t.Context(), ""), "NOT_SERVING")
		check := fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz?verbose").json(t)["checks"].([]any)[0].(map[string]any)
		equal(t, "reason", check["reason"], "the probe has not returned since its timeout")
		close(release)
		<-time.After(2 * time.Second)
		synctest.Wait()
		equal(t, "status after it returned", inProcess(srv).check(t.Context(), ""), "SERVING")
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, line := range []string{
			`level=INFO msg="dependency is up" dependency=database critical=true`,
			`level=WARN msg="dependency is down" dependency=database critical=true reason="the probe took longer than 500ms" failures=1`,
		} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("the log has no %s:\n%s", line, &log)
			}
		}
	})
}

func TestStormOfQuestionsProbesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		var db outside
		checks.Add("database", db.ping, health.WithSchedule(every(time.Hour)))
		r := run(t, srv)
		synctest.Wait()
		client := r.HTTP2()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				ask := inProcess(srv)
				for range 250 {
					ask.check(t.Context(), "")
					fetch(t, client, "GET", r.URL()+"/readyz")
				}
			})
		}
		wg.Wait()
		equal(t, "probes", db.calls.Load(), int64(1))
	})
}

func TestJitterSpreadsProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		var times []time.Time
		checks.Add("database", func(context.Context) error { times = append(times, time.Now()); return nil },
			health.WithSchedule(health.Schedule{Interval: 10 * time.Second, Jitter: 0.5}))
		run(t, srv)
		<-time.After(10 * time.Minute)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		different := map[time.Duration]bool{}
		for i := 1; i < len(times); i++ {
			pause := times[i].Sub(times[i-1])
			different[pause] = true
			if pause < 5*time.Second || pause > 15*time.Second {
				t.Errorf("a pause of %v", pause)
			}
		}
		if len(different) < 30 {
			t.Errorf("%d different pauses in %d probes", len(different), len(times))
		}
	})
}

func TestProbesEndWithTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{Shutdown: connectum.Shutdown{DrainDelay: 5 * time.Second}})
		var open atomic.Bool
		open.Store(true)
		checks.Add("database", func(context.Context) error {
			if !open.Load() {
				t.Error("probed after it was closed")
			}
			return nil
		}, health.WithSchedule(every(time.Millisecond)))
		srv.OnShutdown("database", func() { open.Store(false) }, "health")
		run(t, srv)
		<-time.After(time.Second)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A probe that the stop calls off says nothing of what it probed: neither the log
// nor the count of failures has it.
func TestProbesThatAreCalledOffHaveNotFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv, checks := server(connectum.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var calls atomic.Int64
		checks.Add("database", func(ctx context.Context) error {
			if calls.Add(1) == 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, health.WithSchedule(every(time.Second)))
		run(t, srv)
		<-time.After(1500 * time.Millisecond)
		equal(t, "probes", calls.Load(), int64(2))
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got, _ := checks.Status("database"); got != health.Serving || strings.Contains(log.String(), "dependency is down") {
			t.Errorf("%v, and in the log:\n%s", got, &log)
		}
	})
}

func TestProbesEndWhenTheStartFails(t *testing.T) {
	t.Parallel()
	leak.Check(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	srv, checks := server(connectum.Config{Addr: taken.Addr().String()})
	var db outside
	checks.Add("database", db.ping)
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}
