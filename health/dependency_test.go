package health_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/connectum-go/connectum/internal/doors"
	"github.com/connectum-go/connectum/internal/leak"
)

// outside is something a server depends on.
type outside struct {
	down  atomic.Bool
	calls atomic.Int64
}

func (o *outside) ping(context.Context) error {
	o.calls.Add(1)
	if o.down.Load() {
		return errors.New("connection refused")
	}
	return nil
}

// every makes the time of probes exact.
func every(d time.Duration) health.Schedule {
	return health.Schedule{Interval: d, Jitter: -1, Failures: 1}
}

func TestReadinessWaitsForTheFirstResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		checks.Add("database", func(ctx context.Context) error {
			<-time.After(time.Second) // the clock of the bubble
			return ctx.Err()
		})
		r := run(t, srv)
		ask, get := inProcess(srv), func(path string) int { return fetch(t, r.HTTP1(), "GET", r.URL()+path).code }
		synctest.Wait()
		equal(t, "Check before the result", ask.check(t.Context(), ""), "NOT_SERVING")
		equal(t, "/readyz before the result", get("/readyz"), 503)
		equal(t, "/startupz before the result", get("/startupz"), 503)
		equal(t, "/livez before the result", get("/livez"), 200)
		<-time.After(time.Second)
		synctest.Wait()
		equal(t, "Check after the result", ask.check(t.Context(), ""), "SERVING")
		equal(t, "/readyz after the result", get("/readyz"), 200)
		equal(t, "/startupz after the result", get("/startupz"), 200)
	})
}

func TestThresholdsCountResultsInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		var db outside
		checks.Add("database", db.ping, health.WithSchedule(health.Schedule{
			Interval: time.Second, Jitter: -1, Failures: 3, Successes: 2,
		}))
		run(t, srv)
		// One result a second from the first moment; each line is one of them.
		for i, step := range []struct {
			fails bool
			want  health.Status
		}{
			{false, health.NotServing}, {true, health.NotServing}, {false, health.NotServing}, {false, health.Serving},
			{true, health.Serving}, {true, health.Serving}, {false, health.Serving},
			{true, health.Serving}, {true, health.Serving}, {true, health.NotServing}, {true, health.NotServing},
			{false, health.NotServing}, {true, health.NotServing}, {false, health.NotServing}, {false, health.Serving},
		} {
			if i > 0 {
				db.down.Store(step.fails)
				<-time.After(time.Second)
			}
			synctest.Wait()
			got, _ := checks.Status("database")
			equal(t, fmt.Sprintf("result %d", i), got, step.want)
			equal(t, fmt.Sprintf("probes by result %d", i), db.calls.Load(), int64(i+1))
		}
	})
}

// Behaviour 114.
func TestDependencyTakesDownWhatItIsTiedTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		opts           []health.ProbeOption
		whole, service string
		ready          int
	}{
		{"all", nil, "NOT_SERVING", "NOT_SERVING", 503},
		{"tied", []health.ProbeOption{health.WithServices(served)}, "NOT_SERVING", "NOT_SERVING", 503},
		{"tied to another", []health.ProbeOption{health.WithServices("grpc.other.v1.Service")}, "NOT_SERVING", "SERVING", 503},
		{"not critical", []health.ProbeOption{health.NonCritical()}, "SERVING", "SERVING", 200},
		{"tied, not critical", []health.ProbeOption{health.WithServices(served), health.NonCritical()}, "SERVING", "NOT_SERVING", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv, checks := server(connectum.Config{})
				other(srv)
				var db outside
				checks.Add("database", db.ping, append(c.opts, health.WithSchedule(every(time.Second)))...)
				r := run(t, srv)
				synctest.Wait()
				ask := inProcess(srv)
				equal(t, "up: the whole", ask.check(t.Context(), ""), "SERVING")
				watch := ask.watch(t, "database")
				equal(t, "up: watched", watch.next(), "SERVING")
				db.down.Store(true)
				equal(t, "down: watched", watch.next(), "NOT_SERVING")
				equal(t, "down: the whole", ask.check(t.Context(), ""), c.whole)
				equal(t, "down: the service", ask.check(t.Context(), served), c.service)
				for path, want := range map[string]int{
					"/livez": 200, "/startupz": 200, "/healthz": 200, "/readyz": c.ready,
				} {
					equal(t, "down: "+path, fetch(t, r.HTTP1(), "GET", r.URL()+path).code, want)
				}
				db.down.Store(false)
				equal(t, "up again: watched", watch.next(), "SERVING")
				equal(t, "up again: the whole", ask.check(t.Context(), ""), "SERVING")
			})
		})
	}
}

// Behaviour 108.
func TestSetIsStrongerThanDependencies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		db := outside{}
		db.down.Store(true)
		checks.Add("database", db.ping)
		run(t, srv)
		synctest.Wait()
		status := func(name string) health.Status { s, _ := checks.Status(name); return s }
		set := func(name string, s health.Status) {
			t.Helper()
			if err := checks.Set(name, s); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "down", status(""), health.NotServing)
		set(served, health.Serving)
		equal(t, "the service Set", status(served), health.Serving)
		equal(t, "the whole beside it", status(""), health.NotServing)
		set("", health.Serving)
		equal(t, "the whole Set", status(""), health.Serving)
		set(served, health.NotServing)
		equal(t, "the service against the whole", status(served), health.NotServing)
		equal(t, "the whole Set stays", status(""), health.Serving)
		checks.Clear(served)
		equal(t, "the service follows the whole", status(served), health.Serving)
		checks.Clear("")
		checks.Clear("nobody")
		equal(t, "cleared", status(""), health.NotServing)
		equal(t, "cleared service", status(served), health.NotServing)
	})
}

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

// A start that is over stays so during the stop, whatever was not probed by then:
// an orchestrator must not kill for it what drains.
func TestTheStartIsOverDuringTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{Shutdown: connectum.Shutdown{DrainDelay: 5 * time.Second}})
		checks.Add("database", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		r := run(t, srv)
		synctest.Wait()
		equal(t, "/startupz before the first result", fetch(t, r.HTTP1(), "GET", r.URL()+"/startupz").code, 503)
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		equal(t, "/startupz during the stop", fetch(t, r.HTTP1(), "GET", r.URL()+"/startupz").code, 200)
		if err := <-stopped; err != nil {
			t.Error(err)
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

func TestMistakesAreOneReportOfTheStart(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	checks.Add("database", (&outside{}).ping, health.WithServices(sibling),
		health.WithSchedule(health.Schedule{Interval: -1, Timeout: -1, Jitter: 2, Failures: -1, Successes: -1}))
	if err := checks.Set("nobody.v1.Service", health.Serving); err != nil {
		t.Error(err)
	}
	err := srv.Serve(t.Context(), doors.NewMemory("localhost:80"))
	want := `connectum: OnStart: health: set "nobody.v1.Service": the server has no such service
health: dependency "database": Schedule.Interval is -1ns: it can't be negative
health: dependency "database": Schedule.Timeout is -1ns: it can't be negative
health: dependency "database": Schedule.Jitter is 2: it can't be more than 1
health: dependency "database": Schedule.Failures is -1: it can't be negative
health: dependency "database": Schedule.Successes is -1: it can't be negative
health: dependency "database": WithServices("connectum.test.v1.EmptyService"): the server has no such service`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAddPanicsOnWhatIsNoDependency(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	fine := func(context.Context) error { return nil }
	checks.Add("taken", fine)
	if err := checks.Set("component", health.Serving); err != nil {
		t.Fatal(err)
	}
	refused := func(name string, probe func(context.Context) error) {
		t.Helper()
		defer func() {
			if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), fmt.Sprintf("health: Add(%q)", name)) {
				t.Errorf("Add(%q): %v", name, r)
			}
		}()
		checks.Add(name, probe)
	}
	refused("", fine)
	refused("a.b", fine)
	refused("a/b", fine)
	refused("taken", fine)
	refused("component", fine)
	refused("nil", nil)
	doors.Start(t, srv, doors.Config{})
	refused("late", fine)
}

// Behaviours 108 and 110.
func TestSetRefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	checks.Add("database", (&outside{}).ping)
	doors.Start(t, srv, doors.Config{})
	for name, want := range map[string]string{
		"nobody.v1.Service": `health: set "nobody.v1.Service": the server has no such service`,
		sibling:             `health: set "connectum.test.v1.EmptyService": the server has no such service`,
		"database":          `health: set "database": a dependency is what its probe says`,
	} {
		if err := checks.Set(name, health.Serving); err == nil || err.Error() != want {
			t.Errorf("Set(%q): %v", name, err)
		}
	}
	if err := checks.Set(served, health.Status(3)); err == nil || err.Error() != `health: set "`+served+`": Status(3) is no status` {
		t.Error(err)
	}
}
