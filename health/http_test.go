package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
)

// Behaviours 102, 106 and 114.
func TestHTTPAnswersByPathAndService(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	for name, s := range map[string]health.Status{"idle": health.Unknown, "busy": health.Serving} {
		if err := checks.Set(name, s); err != nil {
			t.Fatal(err)
		}
	}
	r := doors.Start(t, srv, doors.Config{})
	for _, client := range []*http.Client{r.HTTP1(), r.HTTP2()} {
		for _, c := range []struct {
			method, target string
			code           int
			body           string
		}{
			{"GET", "/livez", 200, "ALIVE"},
			{"GET", "/livez?service=nobody", 200, "ALIVE"},
			{"GET", "/startupz", 200, "STARTED"},
			{"GET", "/readyz", 503, "NOT_SERVING"}, // a component is not serving
			{"GET", "/healthz", 503, "NOT_SERVING"},
			{"GET", "/readyz?service=" + served, 200, "SERVING"},
			{"GET", "/healthz?service=" + served, 200, "SERVING"},
			{"GET", "/readyz?service=busy", 200, "SERVING"},
			{"GET", "/readyz?service=idle", 503, "UNKNOWN"},
			{"GET", "/healthz?service=" + sibling, 404, "SERVICE_UNKNOWN"},
			{"GET", "/readyz?service=nobody", 404, "SERVICE_UNKNOWN"},
			{"GET", "/readyz?verbose", 503, "NOT_SERVING"}, // to a stranger
			{"HEAD", "/livez", 200, ""},
			{"HEAD", "/readyz", 503, ""},
			{"HEAD", "/readyz?service=nobody", 404, ""},
			{"POST", "/livez", 405, "only GET and HEAD are allowed here"},
			{"OPTIONS", "/readyz", 405, "only GET and HEAD are allowed here"},
			{"DELETE", "/healthz", 405, "only GET and HEAD are allowed here"},
			{"GET", "/livez/", 404, "404 page not found"},
			{"GET", "/readyz/x", 404, "404 page not found"},
		} {
			got := fetch(t, client, c.method, r.URL()+c.target)
			equal(t, c.method+" "+c.target, fmt.Sprint(got.code, " ", got.body), fmt.Sprint(c.code, " ", c.body))
			if c.code == 405 {
				equal(t, "Allow", got.header.Get("Allow"), "GET, HEAD")
			} else if !strings.HasPrefix(c.body, "404") {
				equal(t, "Cache-Control", got.header.Get("Cache-Control"), "no-store")
			}
		}
	}
}

// Behaviour 106.
func TestJSONTellsStrangersNoInternals(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{AdminAddr: "localhost:0"})
	checks.Add("database", func(context.Context) error { return errors.New("dial database: refused") })
	r := doors.Start(t, srv, doors.Config{})
	for _, target := range []string{"/readyz", "/readyz?verbose", "/healthz?verbose=1"} {
		got := fetch(t, r.HTTP1(), "GET", r.URL()+target, "Accept", "text/html, application/json;q=0.9").json(t)
		if len(got) != 3 || got["service"] != "overall" || got["status"] == "" {
			t.Errorf("%s: %v", target, got)
		}
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["timestamp"])); err != nil || at.Location() != time.UTC {
			t.Errorf("timestamp %v: %v", got["timestamp"], err)
		}
	}
	got := fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz?service="+served, "Accept", "application/json").json(t)
	equal(t, "service", got["service"], served)
	head := fetch(t, r.HTTP1(), "HEAD", r.URL()+"/readyz", "Accept", "application/json")
	equal(t, "HEAD", fmt.Sprint(head.code, head.body), "503")

	// Nor do the other ways in.
	equal(t, "by ?service", fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz?service=database").code, 404)
	for _, d := range r.Doors()[1:] {
		ask := asker{r.Client(t, d)}
		equal(t, d.Name+": Check", ask.check(t.Context(), "database"), "not_found")
		equal(t, d.Name+": Watch", ask.watch(t, "database").next(), "SERVICE_UNKNOWN")
		if _, told := ask.list(t)["database"]; told {
			t.Errorf("%s: List tells of a dependency", d.Name)
		}
	}
}

func TestDetailsAreToldWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{}, health.WithDetails())
		checks.Add("database", func(context.Context) error { return errors.New("dial database: refused") },
			health.WithSchedule(every(10*time.Second)))
		checks.Add("search", func(ctx context.Context) error { <-ctx.Done(); return nil },
			health.NonCritical(), health.WithServices(served))
		r := run(t, srv)
		<-time.After(1500 * time.Millisecond)
		got := fetch(t, r.HTTP1(), "GET", r.URL()+"/healthz?verbose")
		want := `{"status":"DEGRADED","service":"overall","timestamp":"2000-01-01T00:00:01.5Z","state":"running",` +
			`"services":{"connectum.test.v1.TestService":"NOT_SERVING"},"checks":[` +
			`{"name":"database","status":"NOT_SERVING","reason":"dial database: refused","critical":true,"ageSeconds":1.5,"since":"2000-01-01T00:00:00Z","failures":1},` +
			`{"name":"search","status":"NOT_SERVING","reason":"not probed yet","critical":false,"services":["connectum.test.v1.TestService"],"ageSeconds":null,"failures":0}]}`
		if got.body != want {
			t.Errorf("got\n%s\nwant\n%s", got.body, want)
		}
		equal(t, "content type", got.header.Get("Content-Type"), "application/json")
		accepted := fetch(t, r.HTTP1(), "GET", r.URL()+"/healthz", "Accept", "application/json")
		equal(t, "by Accept", accepted.body, want)
		equal(t, "without verbose", fetch(t, r.HTTP1(), "GET", r.URL()+"/healthz").body, "DEGRADED")
		equal(t, "by name", fetch(t, r.HTTP1(), "GET", r.URL()+"/readyz?service=database").code, 503)
		equal(t, "List", asker{r.Client(t, r.Doors()[1])}.list(t)["database"], "NOT_SERVING")
	})
}

func TestOperatorsAreToldOnAdminAddr(t *testing.T) {
	t.Parallel()
	addr := "unix://" + t.TempDir() + "/admin"
	srv, checks := server(connectum.Config{AdminAddr: addr})
	checks.Add("database", func(context.Context) error { return errors.New("refused") })
	doors.Start(t, srv, doors.Config{})
	client := overUnix(strings.TrimPrefix(addr, "unix://"))
	defer client.CloseIdleConnections()
	var got map[string]any
	for late := time.Now().Add(time.Minute); got["checks"] == nil || got["checks"].([]any)[0].(map[string]any)["ageSeconds"] == nil; {
		if time.Now().After(late) {
			t.Fatalf("not probed: %v", got)
		}
		got = fetch(t, client, "GET", "http://admin/readyz?verbose").json(t)
	}
	check := got["checks"].([]any)[0].(map[string]any)
	equal(t, "name", check["name"], "database")
	equal(t, "reason", check["reason"], "refused")
	equal(t, "liveness", fetch(t, client, "GET", "http://admin/livez").body, "ALIVE")
}

// Behaviour 107.
func TestPathsReplaceTheDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		paths  health.Paths
		served []string
	}{
		{"none", health.Paths{}, nil},
		{"one", health.Paths{Ready: "/up"}, []string{"/up"}},
		{"all", health.Paths{Live: "/l", Ready: "/r", Startup: "/s", Overall: "/health/"}, []string{"/l", "/r", "/s", "/health/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv, _ := server(connectum.Config{}, health.WithPaths(c.paths))
			r := doors.Start(t, srv, doors.Config{})
			for _, path := range []string{"/livez", "/readyz", "/startupz", "/healthz", "/health/x", "/up/x"} {
				equal(t, path, fetch(t, r.HTTP1(), "GET", r.URL()+path).code, 404)
			}
			for _, path := range c.served {
				equal(t, path, fetch(t, r.HTTP1(), "GET", r.URL()+path).code, 200)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("a path without a slash passed")
		}
	}()
	server(connectum.Config{}, health.WithPaths(health.Paths{Ready: "readyz"}))
}

// A server that is embedded in another one never runs: its owner tells.
func TestEmbeddedServerIsWhatItsOwnerSays(t *testing.T) {
	t.Parallel()
	srv, checks := server(connectum.Config{})
	host := httptest.NewServer(srv.Handler())
	defer host.Close()
	equal(t, "/livez", fetch(t, host.Client(), "GET", host.URL+"/livez").code, 200)
	equal(t, "/healthz", fetch(t, host.Client(), "GET", host.URL+"/healthz").body, "STARTING")
	for path, before := range map[string]int{"/readyz": 503, "/startupz": 503, "/healthz": 503} {
		equal(t, path, fetch(t, host.Client(), "GET", host.URL+path).code, before)
	}
	if err := checks.Set("", health.Serving); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/readyz", "/startupz", "/healthz"} {
		equal(t, path, fetch(t, host.Client(), "GET", host.URL+path).code, 200)
	}
}

func TestMetricsOfHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, checks := server(connectum.Config{})
		var db outside
		db.down.Store(true)
		checks.Add("database", db.ping, health.WithSchedule(every(10*time.Second)), health.NonCritical())
		checks.Add("search", func(ctx context.Context) error { <-time.After(time.Second); return nil }, health.WithServices(served))
		metrics := func() string {
			var out strings.Builder
			for s := range srv.Metrics() {
				if strings.HasPrefix(s.Name, "connectum_health_") {
					fmt.Fprintf(&out, "%s %v %v\n", strings.TrimPrefix(s.Name, "connectum_health_"), s.Labels, s.Value)
				}
			}
			return out.String()
		}
		equal(t, "before the start", metrics(), `serving [{service }] 0
serving [{service connectum.test.v1.TestService}] 0
watchers [] 0
dependency_up [{dependency database}] 0
dependency_up [{dependency search}] 0
probe_failures_total [{dependency database}] 0
probe_failures_total [{dependency search}] 0
`)
		run(t, srv)
		synctest.Wait()
		inProcess(srv).watch(t, "").next()
		<-time.After(3 * time.Second)
		equal(t, "running", metrics(), `serving [{service }] 1
serving [{service connectum.test.v1.TestService}] 1
watchers [] 1
dependency_up [{dependency database}] 0
dependency_up [{dependency search}] 1
probe_failures_total [{dependency database}] 1
probe_failures_total [{dependency search}] 0
probe_age_seconds [{dependency database}] 3
probe_age_seconds [{dependency search}] 2
probe_duration_seconds [{dependency database}] 0
probe_duration_seconds [{dependency search}] 1
`)
	})
}
