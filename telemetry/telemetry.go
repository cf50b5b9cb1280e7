// Package telemetry watches a server with OpenTelemetry: traces, metrics and
// logs, ready with one call, none of which can fail an RPC or a shutdown.
//
//	tel, err := telemetry.Start(ctx, telemetry.Config{ServiceName: "my-service"})
//	if err != nil {
//		log.Fatal(err) // a setting that is wrong, by its name
//	}
//	slog.SetDefault(slog.New(tel.LogHandler(slog.NewTextHandler(os.Stderr, nil))))
//	srv := connectum.New(connectum.Config{
//		AdminAddr:    "localhost:9090",
//		Interceptors: interceptor.Defaults(interceptor.Config{Telemetry: tel.Server()}),
//	})
//	tel.Register(srv) // GET /metrics on AdminAddr
//	srv.OnShutdown("telemetry", tel.Shutdown)
//
// Where to send what is said by the environment variables of the OpenTelemetry
// specification, OTEL_EXPORTER_OTLP_ENDPOINT above all, or by [Config]. With
// nothing said, nothing is sent, nothing is dialled and no goroutine runs;
// /metrics needs no collector.
//
// Spans and the duration of calls follow the semantic conventions for RPC,
// version 1.43.0. Every label comes from the registered procedures or from a
// short list: a client can't add a series.
package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/log"
	lognoop "go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/connectum-go/connectum"
)

// scope names what is recorded by this package.
const scope = "github.com/connectum-go/connectum/telemetry"

// Telemetry is telemetry that has started. It is safe for concurrent use. Only
// [Start] makes one.
type Telemetry struct {
	cfg        Config
	logger     *slog.Logger // nil: slog.Default
	propagator propagation.TextMapPropagator
	w3c        w3c
	spanKey    spanKey

	traces, metrics, logs bool // are exported, or given

	tracerProvider trace.TracerProvider
	meterProvider  metric.MeterProvider
	loggerProvider log.LoggerProvider
	tracer         trace.Tracer // nil: no spans
	exposition     *prometheus.Registry
	started        time.Time

	instruments struct {
		once           sync.Once
		server, client *instruments
		err            error
	}
	runtime sync.Once

	level    slog.LevelVar
	failures [len(signals)]failures
	abort    context.Context // ends when exports must not go on
	aborted  context.CancelFunc
	closers  []closer
	clients  []*http.Client // of exporters over HTTP

	mu      sync.Mutex
	servers []*connectum.Server
	scraped atomic.Bool // Register was called

	shutdown sync.Once
}

// Start makes the providers that cfg and the environment ask for. Wrong
// settings, all of them in one error that names each field or variable, are the
// only reason to fail: what they point to need not be there. ctx bounds the
// start alone.
func Start(ctx context.Context, cfg Config) (*Telemetry, error) {
	return start(ctx, cfg, os.Getenv)
}

func start(ctx context.Context, cfg Config, getenv func(string) string) (*Telemetry, error) {
	settings, err := resolve(cfg, environment{getenv})
	if err != nil {
		return nil, err
	}
	t := &Telemetry{cfg: cfg, logger: cfg.Logger, started: time.Now(), exposition: prometheus.NewRegistry(),
		propagator: settings.propagator, w3c: settings.w3c, spanKey: newSpanKey()}
	t.abort, t.aborted = context.WithCancel(context.WithoutCancel(ctx))
	t.level.Set(cfg.LogLevel)
	if !settings.disabled {
		described := sync.OnceValue(func() *resource.Resource { return t.newResource(ctx, settings) })
		err = errors.Join(t.startTraces(ctx, settings, described), t.startMetrics(ctx, settings, described), t.startLogs(ctx, settings, described))
	}
	if err != nil {
		_ = t.Shutdown(ctx) // of what has started
		return nil, err
	}
	if t.traces {
		t.tracer = t.tracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	}
	if cfg.SetGlobal {
		otel.SetTracerProvider(t.TracerProvider())
		otel.SetMeterProvider(t.MeterProvider())
		otel.SetTextMapPropagator(t.propagator)
		otel.SetLoggerProvider(t.LoggerProvider())
	}
	return t, nil
}

// TracerProvider returns where the spans of the service come from, for
// instrumentation of its own; it makes none when there are no traces.
func (t *Telemetry) TracerProvider() trace.TracerProvider {
	if t.tracerProvider == nil {
		return tracenoop.NewTracerProvider()
	}
	return t.tracerProvider
}

// MeterProvider returns where the instruments of the service come from. What they
// record is exported, and is on /metrics.
func (t *Telemetry) MeterProvider() metric.MeterProvider {
	if t.meterProvider == nil {
		return metricnoop.NewMeterProvider()
	}
	return t.meterProvider
}

// LoggerProvider returns where records for the logs come from. [Telemetry.LogHandler]
// uses it.
func (t *Telemetry) LoggerProvider() log.LoggerProvider {
	if t.loggerProvider == nil {
		return lognoop.NewLoggerProvider()
	}
	return t.loggerProvider
}

// Propagator returns how traces and baggage cross the borders of processes.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return t.propagator }

func (t *Telemetry) log() *slog.Logger {
	if t.logger != nil {
		return t.logger
	}
	return slog.Default()
}
