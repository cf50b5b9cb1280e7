package health_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
)

// database is what the guide calls db; *sql.DB has these methods.
type database struct{}

func (database) PingContext(context.Context) error { return nil }
func (database) Close() error                      { return nil }

type index struct{}

func (index) Ping(context.Context) error { return nil }

var (
	guideProbe = regexp.MustCompile(`(?m)^ +(startup|liveness|readiness)Probe:\n +httpGet: \{path: (/\w+), port: rpc\}$`)
	guideGrace = regexp.MustCompile(`terminationGracePeriodSeconds: (\d+) +# SHUTDOWN_TIMEOUT, (\d+) s, and (\d+) s to spare`)
)

// The manifest of the guide agrees with the code: the paths are answered, each
// probe asks what it should, and the times add up.
func TestTheManifestAgreesWithTheCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv, checks := server(connectum.Config{Shutdown: connectum.Shutdown{DrainDelay: 5 * time.Second}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var db outside
		db.down.Store(true)
		checks.Add("database", db.ping)
		r := run(t, srv)
		synctest.Wait()
		c := r.HTTP1()
		probes := guideProbe.FindAllStringSubmatch(string(page), -1)
		ask := func(when string, want map[string]int) {
			t.Helper()
			for _, p := range probes {
				equal(t, when+": "+p[1], fetch(t, c, "GET", r.URL()+p[2]).code, want[p[1]])
			}
		}
		equal(t, "probes", len(probes), 3)
		ask("database down", map[string]int{"startup": 200, "liveness": 200, "readiness": 503})
		db.down.Store(false)
		time.Sleep(time.Minute)
		ask("well", map[string]int{"startup": 200, "liveness": 200, "readiness": 200})
		stopped := make(chan error, 1)
		go func() { stopped <- srv.Shutdown(t.Context()) }()
		time.Sleep(4 * time.Second) // of the delay, while endpoints are removed
		ask("draining", map[string]int{"startup": 200, "liveness": 200, "readiness": 503})
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		times := guideGrace.FindSubmatch(page)
		if times == nil {
			t.Fatal("the guide does not say how the grace period comes about")
		}
		num := func(i int) int { n, _ := strconv.Atoi(string(times[i])); return n }
		equal(t, "the sum", num(1), num(2)+num(3))
		if timeout := fmt.Sprintf("shutdown.timeout=%ds", num(2)); !strings.Contains(log.String(), timeout) {
			t.Errorf("the log does not say %s:\n%s", timeout, &log)
		}
	})
	for _, want := range []string{"{name: DRAIN_DELAY, value: 5s}", "containerPort: 5000", "grpc: {port: 5000}"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the guide lacks %s", want)
		}
	}
}

// What docs/health.md shows is here, word for word.
func TestTheGuideRuns(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{})
	mount(srv, "shop.v1.SearchService")
	mount(srv, "shop.v1.OrderService")
	db, search := database{}, index{}

	checks := health.Register(srv)
	checks.Add("database", db.PingContext)

	checks.Add("search", search.Ping,
		health.WithServices("shop.v1.SearchService"), // only this one falls
		health.NonCritical(),                         // and the server stays ready
		health.WithSchedule(health.Schedule{Interval: 10 * time.Second, Failures: 2}))

	srv.OnShutdown("database", db.Close, "health")

	err := checks.Set("shop.v1.OrderService", health.NotServing) // maintenance; Clear ends it
	if err != nil {
		t.Error(err)
	}
	doors.Start(t, srv, doors.Config{})
	if s, _ := checks.Status("shop.v1.OrderService"); s != health.NotServing {
		t.Errorf("the service under maintenance is %v", s)
	}
}
