package telemetry_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/internal/guide"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// What docs/telemetry.md shows is here, word for word.
func TestTheGuideToTelemetryRuns(t *testing.T) { //nolint:paralleltest // the guide sets the default logger of the process
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range guide.Load(t, "../docs/telemetry.md") {
		if b.Lang == "go" && !guide.Excerpt(string(source), b.Text) {
			t.Errorf("line %d of the guide is not in this file:\n%s", b.Line, b.Text)
		}
	}
	before := slog.Default()
	defer slog.SetDefault(before)
	if err := guided(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	rec := telemetrytest.Start(t, telemetry.Config{})
	srv := serve(testservice.Service{}, rec.Server())
	if err := methods[0].call(t.Context(), connectumtest.Client(t, srv)); err != nil {
		t.Fatal(err)
	}
	span := rec.ServerSpan(t, "/connectum.test.v1.TestService/Echo")
	if span.Attributes["rpc.system.name"] != "connectrpc" {
		t.Errorf("%v", span)
	}
}

type database struct{}

func (database) Load(context.Context, string) error { return nil }

func guided(ctx context.Context, t *testing.T) error {
	tel, err := telemetry.Start(ctx, telemetry.Config{ServiceName: "my-service"})
	if err != nil {
		return err // a setting that is wrong, by its name
	}
	slog.SetDefault(slog.New(tel.LogHandler(slog.NewTextHandler(os.Stderr, nil))))

	srv := connectum.New(connectum.Config{
		AdminAddr:    "localhost:9090",
		Interceptors: interceptor.Defaults(interceptor.Config{Telemetry: tel.Server()}),
	})
	tel.Register(srv) // /metrics and /loglevel on the admin listener
	srv.OnShutdown("telemetry", tel.Shutdown)

	testservice.Service{}.Register(srv.RPC())
	transport := srv.Transport()
	client := connect.NewClient(transport, interceptor.ClientDefaults(interceptor.ClientConfig{Telemetry: tel.Client()})...)
	if err := methods[0].call(ctx, client); err != nil {
		return err
	}
	db, id := database{}, "tea-1"
	if err := func() error {
		err := telemetry.Span(ctx, "load order", func(ctx context.Context) error {
			return db.Load(ctx, id)
		})
		return err
	}(); err != nil {
		return err
	}
	dashboard, err := telemetry.Dashboard(srv, "my-service")
	alerts := telemetry.Alerts(srv, telemetry.AlertConfig{ErrorRatio: 0.02, Duration: 500 * time.Millisecond})
	if len(dashboard) == 0 || len(alerts) == 0 {
		t.Error("nothing is generated")
	}
	tel.Level().Set(slog.LevelDebug)
	return err
}
