package health_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviours 100, 101, 103, 105 and 116.
func TestStatusIsTheSameBehindEveryDoor(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	r := doors.Start(t, srv, doors.Config{})
	r.Each(t, func(t *testing.T, client *connect.Client) {
		ask := asker{client}
		equal(t, "the whole", ask.check(t.Context(), ""), "SERVING")
		equal(t, "a service", ask.check(t.Context(), served), "SERVING")
		equal(t, "an unknown one", ask.check(t.Context(), "nobody.v1.Service"), "not_found")
		equal(t, "a sibling in the same file", ask.check(t.Context(), sibling), "not_found")
		equal(t, "health itself", ask.check(t.Context(), "grpc.health.v1.Health"), "not_found")
		if got, want := ask.list(t), (map[string]string{"": "SERVING", served: "SERVING"}); !maps.Equal(got, want) {
			t.Errorf("List: got %v, want %v", got, want)
		}

		// One change, seen by all.
		watch := ask.watch(t, served)
		equal(t, "watched at once", watch.next(), "SERVING")
		if err := checks.Set(served, health.NotServing); err != nil {
			t.Fatal(err)
		}
		equal(t, "watched", watch.next(), "NOT_SERVING")
		equal(t, "checked", ask.check(t.Context(), served), "NOT_SERVING")
		equal(t, "listed", ask.list(t)[served], "NOT_SERVING")
		equal(t, "over HTTP", fetch(t, r.HTTP1(), "GET", r.URL()+"/healthz?service="+served).code, http.StatusServiceUnavailable)
		equal(t, "the whole, with one not serving", ask.check(t.Context(), ""), "NOT_SERVING")
		checks.Clear(served)
		equal(t, "watched after Clear", watch.next(), "SERVING")
	})
}

// Behaviour 104.
func TestWatchSendsOnlyChanges(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		name := "worker-of-this-door"
		unknown := asker{client}.watch(t, name)
		equal(t, "unknown at first", unknown.next(), "SERVICE_UNKNOWN")
		for _, s := range []health.Status{health.Unknown, health.Unknown, health.Serving, health.Serving, health.NotServing} {
			old, known := checks.Status(name)
			if err := checks.Set(name, s); err != nil {
				t.Fatal(err)
			}
			if !known || old != s {
				equal(t, "a change", unknown.next(), s.String())
			}
		}
		checks.Clear(name)
		equal(t, "unknown again", unknown.next(), "SERVICE_UNKNOWN")
	})
}

func TestSlowWatcherGetsTheLatestAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		run(t, srv)
		slow, quick := inProcess(srv).watch(t, served), inProcess(srv).watch(t, served)
		equal(t, "slow at once", slow.next(), "SERVING")
		equal(t, "quick at once", quick.next(), "SERVING")
		for range 500 {
			for _, s := range []health.Status{health.NotServing, health.Unknown} {
				if err := checks.Set(served, s); err != nil {
					t.Fatal(err)
				}
				equal(t, "quick", quick.next(), s.String())
				synctest.Wait() // the slow one has noticed
			}
		}
		// One was on its way when the others came.
		equal(t, "slow, when it changed first", slow.next(), "NOT_SERVING")
		equal(t, "slow, at the end", slow.next(), "UNKNOWN")
	})
}

// Behaviour 115.
func TestWatchDeliversNotServingBeforeTheStreamEnds(t *testing.T) {
	t.Parallel()
	probe, _ := server(connectum.Config{})
	for i, d := range doors.Start(t, probe, doors.Config{Memory: true}).Doors() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			leak.Check(t)
			for range 10 {
				srv, _ := server(connectum.Config{})
				r := doors.Start(t, srv, doors.Config{})
				ask := asker{r.Client(t, r.Doors()[i])}
				whole, one, unknown := ask.watch(t, ""), ask.watch(t, served), ask.watch(t, "nobody")
				equal(t, "the whole", whole.next(), "SERVING")
				equal(t, "one", one.next(), "SERVING")
				equal(t, "unknown", unknown.next(), "SERVICE_UNKNOWN")
				stopped := make(chan error, 1)
				go func() { stopped <- srv.Shutdown(context.Background()) }()
				equal(t, "the whole, stopping", whole.next(), "NOT_SERVING")
				equal(t, "one, stopping", one.next(), "NOT_SERVING")
				equal(t, "the whole ends", whole.next(), "end")
				equal(t, "one ends", one.next(), "end")
				equal(t, "unknown ends", unknown.next(), "end")
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestWatchersDoNotHoldUpADrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, _ := server(connectum.Config{})
		r := run(t, srv)
		var open []watcher
		for _, d := range r.Doors() {
			for range 3 {
				w := asker{r.Client(t, d)}.watch(t, "") // one of them is never read
				open = append(open, w)
			}
		}
		for i, w := range open {
			if i%3 > 0 {
				equal(t, "at once", w.next(), "SERVING")
			}
		}
		synctest.Wait()
		began := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		// Below the grace of streams, which is 5 s; net/http takes up to 1.7 s.
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

func TestProbesAnswerDuringTheDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := connectum.New(connectum.Config{Shutdown: connectum.Shutdown{DrainDelay: 3 * time.Second}})
		checks := health.Register(srv)
		if err := checks.Set("worker", health.Serving); err != nil {
			t.Fatal(err)
		}
		testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			<-release
			return new(testv1.EchoResponse), nil
		}}.Register(srv.RPC())
		r := run(t, srv)
		ask := asker{r.Client(t, r.Doors()[len(r.Doors())-1])}
		busy := make(chan error)
		go func() {
			_, err := testv1connect.NewTestServiceClient(ask.Client).Echo(t.Context(), new(testv1.EchoRequest))
			busy <- err
		}()
		synctest.Wait()
		equal(t, "before", ask.check(t.Context(), ""), "SERVING")
		stopped := make(chan error)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		for _, phase := range []string{"notice", "drain"} {
			synctest.Wait()
			equal(t, phase+": state", srv.State(), connectum.StateStopping)
			equal(t, phase+": Check", ask.check(t.Context(), ""), "NOT_SERVING")
			equal(t, phase+": of a service", ask.check(t.Context(), served), "NOT_SERVING")
			equal(t, phase+": of a component that was Set", ask.check(t.Context(), "worker"), "NOT_SERVING")
			for path, want := range map[string]page{
				"/livez": {code: 200, body: "ALIVE"}, "/startupz": {code: 200, body: "STARTED"},
				"/readyz": {code: 503, body: "NOT_SERVING"}, "/healthz": {code: 200, body: "DRAINING"},
			} {
				got := fetch(t, r.HTTP2(), "GET", r.URL()+path)
				equal(t, phase+": "+path, fmt.Sprint(got.code, got.body), fmt.Sprint(want.code, want.body))
			}
			<-time.After(4 * time.Second) // the clock of the bubble: into the next phase
		}
		close(release)
		if err := <-busy; err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// Behaviour 86, its end: probes are outside of every limit.
func TestProbesAreOutsideTheUsersChain(t *testing.T) {
	t.Parallel()
	closed := connectum.Wrap("closed", func(connect.ServerFunc) connect.ServerFunc {
		return func(context.Context, connect.Spec, connect.ServerStream) error {
			return connect.NewError(connect.CodeUnauthenticated, "nobody comes in")
		}
	})
	srv, _ := server(connectum.Config{
		Interceptors: []connectum.Interceptor{closed},
		Middleware: []func(http.Handler) http.Handler{func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		}},
	})
	r := doors.Start(t, srv, doors.Config{})
	r.Each(t, func(t *testing.T, client *connect.Client) {
		if _, err := testv1connect.NewTestServiceClient(client).Echo(t.Context(), new(testv1.EchoRequest)); err == nil {
			t.Error("the chain let a call through")
		}
		equal(t, "Check", asker{client}.check(t.Context(), ""), "SERVING")
		equal(t, "Watch", asker{client}.watch(t, "").next(), "SERVING")
	})
	equal(t, "/readyz", fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz").code, 200)
}

// Behaviour 111.
func TestHealthFollowsTheServerFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := connectum.New(connectum.Config{}) // a worker: no services at all
		health.Register(srv)
		ask := inProcess(srv)
		equal(t, "before the start", ask.check(t.Context(), ""), "NOT_SERVING")
		watch := ask.watch(t, "")
		equal(t, "watched before the start", watch.next(), "NOT_SERVING")
		r := run(t, srv)
		equal(t, "watched when ready", watch.next(), "SERVING")
		equal(t, "ready", ask.check(t.Context(), ""), "SERVING")
		equal(t, "ready over HTTP", fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz").code, 200)
		stopped := make(chan error)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		equal(t, "watched at the end", watch.next(), "NOT_SERVING")
		equal(t, "the watch ends", watch.next(), "end")
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// Behaviours 112 and 113.
func TestOneServerDoesNotDisturbTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, checksA := server(connectum.Config{})
		b, _ := server(connectum.Config{})
		run(t, a)
		run(t, b)
		askA, askB := inProcess(a), inProcess(b)
		watch := askB.watch(t, "")
		equal(t, "b", watch.next(), "SERVING")
		if err := checksA.Set("", health.NotServing); err != nil {
			t.Fatal(err)
		}
		if err := checksA.Set("worker", health.Serving); err != nil {
			t.Fatal(err)
		}
		equal(t, "a", askA.check(t.Context(), ""), "NOT_SERVING")
		equal(t, "b", askB.check(t.Context(), ""), "SERVING")
		equal(t, "b of a's component", askB.check(t.Context(), "worker"), "not_found")
		if err := a.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		equal(t, "b after a's end", askB.check(t.Context(), served), "SERVING")
	})
}
