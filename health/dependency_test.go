package health_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
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
