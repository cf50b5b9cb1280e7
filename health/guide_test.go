package health_test

import (
	"context"
	"testing"
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
