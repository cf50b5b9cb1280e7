package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

// behaviour 135: what is wrong is a start error that names every variable, never
// a value that may be a secret.
func TestWrongSettingsAreStartErrors(t *testing.T) { //nolint:paralleltest // it sets the environment
	for name, value := range map[string]string{
		"OTEL_SDK_DISABLED": "maybe", "OTEL_TRACES_EXPORTER": "zipkin", "OTEL_METRICS_EXPORTER": "otlp,none", "OTEL_LOGS_EXPORTER": "prometheus",
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "carrier-pigeon",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://collector",
		"OTEL_EXPORTER_OTLP_HEADERS": "secret-without-equals", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd",
		"OTEL_EXPORTER_OTLP_INSECURE": "yes", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere/cert.pem",
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "sometimes", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "round",
		"OTEL_METRICS_EXEMPLAR_FILTER": "perhaps", "OTEL_TRACES_SAMPLER": "jaeger_remote", "OTEL_PROPAGATORS": "b3",
		"OTEL_BSP_MAX_QUEUE_SIZE": "0", "OTEL_BLRP_SCHEDULE_DELAY": "-1", "OTEL_METRIC_EXPORT_INTERVAL": "1m", "OTEL_SPAN_EVENT_COUNT_LIMIT": "many",
	} {
		t.Setenv(name, value)
	}
	_, err := telemetry.Start(t.Context(), telemetry.Config{Protocol: "http", Traces: "jaeger"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`OTEL_SDK_DISABLED="maybe"`, `Config.Traces="jaeger"`, "OTEL_METRICS_EXPORTER", `OTEL_LOGS_EXPORTER="prometheus"`, `Config.Protocol="http"`,
		`OTEL_EXPORTER_OTLP_ENDPOINT="collector:4317"`, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TIMEOUT",
		"OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
		"TEMPORALITY_PREFERENCE", "HISTOGRAM_AGGREGATION", "OTEL_METRICS_EXEMPLAR_FILTER", "OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS",
		"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_SPAN_EVENT_COUNT_LIMIT",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret-without-equals") {
		t.Errorf("a header is told: %v", err)
	}
}

func TestARatioThatIsNoneIsAStartError(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	for _, arg := range []string{"2", "-0.1", "half", "NaN"} {
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
		if _, err := telemetry.Start(t.Context(), telemetry.Config{}); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// behaviours 128 and 130: the environment reaches the exporters, and Config comes
// before it; "=" in a value stays.
func TestTheEnvironmentReachesTheExporters(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.httpURL+"/")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme%20inc")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=resource,team=a=b,deployment.environment.name=test")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	run := func(cfg telemetry.Config) {
		t.Helper()
		cfg.Logger = quiet
		tel, err := telemetry.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		srv := serve(testservice.Service{}, tel.Server())
		if err := methods[0].call(t.Context(), connectumtest.Client(t, srv)); err != nil {
			t.Fatal(err)
		}
		if err := tel.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		_ = tel.Shutdown(t.Context())
	}
	run(telemetry.Config{})
	t.Setenv("OTEL_SERVICE_NAME", "environment")
	run(telemetry.Config{})
	run(telemetry.Config{ServiceName: "config", Attributes: []attribute.KeyValue{attribute.String("team", "c")}})
	run(telemetry.Config{ServiceName: "unsampled", Sampler: sdktrace.NeverSample()})
	run(telemetry.Config{ServiceName: "untraced", Traces: telemetry.None})
	t.Setenv("OTEL_SDK_DISABLED", "true")
	run(telemetry.Config{ServiceName: "disabled"})
	for service, want := range map[string]int{"resource": 1, "environment": 1, "config": 1, "unsampled": 0, "untraced": 0, "disabled": 0} {
		if got := len(c.spansOf(service)); got != want {
			t.Errorf("%s: %d spans, want %d", service, got, want)
		}
	}
	if !strings.Contains(c.metricNames("untraced"), "rpc.server.call.duration") || c.metricNames("disabled") != "" {
		t.Errorf("untraced: %q, disabled: %q", c.metricNames("untraced"), c.metricNames("disabled"))
	}
	for _, h := range c.headers {
		if h != "acme inc" {
			t.Errorf("header %q", h)
		}
	}
}

// The console is for those who ask for it, each signal.
func TestTheConsoleIsAskedFor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Traces: telemetry.Console, Metrics: telemetry.Console, Logs: telemetry.Console, Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(testservice.Service{}, tel.Server())
	if err := methods[0].call(t.Context(), connectumtest.Client(t, srv)); err != nil {
		t.Fatal(err)
	}
	_ = tel.Shutdown(t.Context())
	for _, want := range []string{`"Name":"connectum.test.v1.TestService/Echo"`, `"rpc.server.call.duration"`} {
		if !strings.Contains(strings.ReplaceAll(out.String(), ": ", ":"), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

// With nothing configured nothing runs and nothing is said. The control is an
// exporter, which does run.
func TestNothingConfiguredCostsNothing(t *testing.T) { //nolint:paralleltest // the goroutines are those of the process
	count := func() int {
		buf := make([]byte, 1<<20)
		return strings.Count(string(buf[:runtime.Stack(buf, true)]), "go.opentelemetry.io/otel")
	}
	settle := func(done func(n int) bool) bool {
		for deadline := time.Now().Add(20 * time.Second); !done(count()); runtime.Gosched() {
			if time.Now().After(deadline) {
				return false
			}
		}
		return true
	}
	if !settle(func(n int) bool { return n == 0 }) { // those of other tests end
		t.Fatalf("%d goroutines of OpenTelemetry before", count())
	}
	before := otel.GetTracerProvider()
	quietTel, err := telemetry.Start(t.Context(), telemetry.Config{ServiceName: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(testservice.Service{}, quietTel.Server())
	quietTel.Register(srv)
	if err := methods[0].call(t.Context(), connectumtest.Client(t, srv)); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d goroutines of OpenTelemetry", n)
	}
	if otel.GetTracerProvider() != before {
		t.Error("a global was set")
	}
	_ = quietTel.Shutdown(context.Background())
	loud, err := telemetry.Start(t.Context(), telemetry.Config{Traces: telemetry.Console, Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if !settle(func(n int) bool { return n > 0 }) {
		t.Error("the control finds nothing")
	}
	_ = loud.Shutdown(context.Background())
}

// behaviour 129: what has stopped can be started anew.
func TestTelemetryStartsAnew(t *testing.T) {
	t.Parallel()
	for range 3 {
		o := observe(t, telemetry.Config{Traces: telemetry.Console, Output: io.Discard})
		if err := methods[0].call(t.Context(), o.GRPC()); err != nil {
			t.Fatal(err)
		}
		if code, text := o.ask(t, "GET", "/metrics", "text/plain", ""); code != http.StatusOK || !strings.Contains(text, `rpc_server_call_duration_seconds_count`) {
			t.Errorf("%d: %s", code, text)
		}
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
	}
}
