package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/telemetry"
)

// observed is a server that runs with telemetry, and its admin listener.
type observed struct {
	*connectumtest.Server
	tel   *telemetry.Telemetry
	admin string
}

// observe runs a server as the production program does.
func observe(t *testing.T, cfg telemetry.Config, prepare ...func(*connectum.Server)) *observed {
	t.Helper()
	cfg.Logger = quiet
	tel, err := telemetry.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	logs := connectumtest.RecordLogs(t)
	bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 10})
	breaker := resilience.NewBreaker(resilience.BreakerConfig{})
	srv := connectum.New(connectum.Config{AdminAddr: "127.0.0.1:0", Logger: logs.Logger(), Interceptors: interceptor.Defaults(interceptor.Config{
		Telemetry: tel.Server(), Bulkhead: bulkhead, Logger: quiet,
	})})
	srv.AddMetrics(bulkhead.Metrics)
	srv.AddMetrics(breaker.Metrics)
	testservice.Service{}.Register(srv.RPC())
	health.Register(srv)
	tel.Register(srv)
	for _, f := range prepare {
		f(srv)
	}
	srv.OnShutdown("telemetry", tel.Shutdown)
	o := &observed{Server: connectumtest.Start(t, srv), tel: tel}
	o.admin = "http://" + logs.Await(t, "server started").Attrs["admin"].(string)
	return o
}

func (o *observed) ask(t *testing.T, method, path, accept, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(got)
}

const openMetrics = "application/openmetrics-text;version=1.0.0"

// What a scrape shows without any collector: RPC, the runtime, the process, and
// what the server yields, with the trace behind a figure.
func TestAScrapeShowsEverything(t *testing.T) {
	t.Parallel()
	o := observe(t, telemetry.Config{ServiceName: "shop", Traces: telemetry.Console, Output: io.Discard})
	for _, client := range []*connect.Client{o.GRPC(), o.Connect(), o.GRPCWeb()} {
		if err := methods[0].call(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	code, text := o.ask(t, "GET", "/metrics", openMetrics, "")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	for _, want := range []string{
		`rpc_server_call_duration_seconds_count\{connectum_door="http",rpc_method="connectum.test.v1.TestService/Echo",rpc_response_status_code="OK",rpc_system_name="grpc"\} 2`,
		`rpc_server_call_duration_seconds_bucket\{[^}]*\} \d+(\.0)? # \{(span_id="[0-9a-f]{16}"|,|trace_id="[0-9a-f]{32}"){3}\}`,
		`rpc_server_request_size_bytes_sum\{connectum_door="http",rpc_method="connectum.test.v1.TestService/Echo",rpc_system_name="connectrpc"\} [1-9]`,
		`\ngo_goroutine_count `, `\nprocess_cpu_seconds_total `, `\nprocess_open_fds `,
		`\nconnectum_calls_in_flight 0`, `\nconnectum_connections `, `\nconnectum_server_ready 1`, `\nconnectum_server_draining 0`,
		`connectum_bulkhead_\w+`, `connectum_health\w*`, `connectum_telemetry_export_failures_total\{signal="traces"\} 0`,
		`target_info\{[^}]*service_name="shop"`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// The older format has no exemplars.
	if _, text := o.ask(t, "GET", "/metrics", "text/plain", ""); strings.Contains(text, "trace_id=") || !strings.Contains(text, "rpc_server_call_duration_seconds_count{") {
		t.Errorf("text format:\n%s", text)
	}
}

// One measurement that is wrong does not hide the others.
func TestABadMeasurementHidesNoOther(t *testing.T) {
	t.Parallel()
	o := observe(t, telemetry.Config{}, func(srv *connectum.Server) {
		srv.AddMetrics(func(yield func(connectum.Sample) bool) {
			_ = yield(connectum.Sample{Name: "not a name", Value: 1}) &&
				yield(connectum.Sample{Name: "plugin_twice", Help: "One.", Value: 1}) &&
				yield(connectum.Sample{Name: "plugin_twice", Help: "One.", Value: 2}) &&
				yield(connectum.Sample{Name: "plugin_bad_label", Labels: []connectum.Label{{Name: "a-b", Value: "x"}}, Value: 2}) &&
				yield(connectum.Sample{Name: "plugin_text", Labels: []connectum.Label{{Name: "a", Value: "\xff"}}, Value: 2}) &&
				yield(connectum.Sample{Name: "plugin_last", Value: 3})
		})
	})
	code, text := o.ask(t, "GET", "/metrics", "text/plain", "")
	for _, want := range []string{"plugin_twice 1", "plugin_last 3", "connectum_calls_in_flight 0", `plugin_text{a="?"} 2`, "go_goroutine_count"} {
		if code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d, no %s in\n%s", code, want, text)
		}
	}
}

// With the SDK off, or metrics none, the server's own measurements remain.
func TestAScrapeWithoutOpenTelemetry(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	o := observe(t, telemetry.Config{})
	if err := methods[0].call(t.Context(), o.GRPC()); err != nil {
		t.Fatal(err)
	}
	_, text := o.ask(t, "GET", "/metrics", "text/plain", "")
	if strings.Contains(text, "rpc_server") || !strings.Contains(text, "connectum_calls_in_flight 0") {
		t.Error(text)
	}
}

// Two servers of one process do not disturb each other.
func TestTwoServersOfOneTelemetry(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()
	for range 2 {
		logs := connectumtest.RecordLogs(t)
		srv := connectum.New(connectum.Config{AdminAddr: "127.0.0.1:0", Logger: logs.Logger(), Interceptors: []connectum.Interceptor{tel.Server()}})
		testservice.Service{}.Register(srv.RPC())
		tel.Register(srv)
		o := &observed{Server: connectumtest.Start(t, srv), tel: tel}
		o.admin = "http://" + logs.Await(t, "server started").Attrs["admin"].(string)
		if _, text := o.ask(t, "GET", "/metrics", "text/plain", ""); strings.Count(text, "\nconnectum_calls_in_flight ") != 1 {
			t.Error(text)
		}
	}
}

func TestTheLogLevelChangesAtRunTime(t *testing.T) {
	t.Parallel()
	o := observe(t, telemetry.Config{})
	text := new(strings.Builder)
	log := slog.New(o.tel.LogHandler(slog.NewTextHandler(text, nil)))
	log.Debug("before")
	for _, c := range []struct {
		method, body string
		code         int
		answer       string
	}{
		{"GET", "", 200, "INFO\n"}, {"PUT", "debug", 200, "DEBUG\n"}, {"GET", "", 200, "DEBUG\n"},
		{"PUT", "loud", 400, ""}, {"PUT", strings.Repeat("x", 100), 400, ""}, {"POST", "warn", 405, ""}, {"GET", "", 200, "DEBUG\n"},
	} {
		code, answer := o.ask(t, c.method, "/loglevel", "", c.body)
		if code != c.code || c.answer != "" && answer != c.answer {
			t.Errorf("%s %q: %d %q", c.method, c.body, code, answer)
		}
	}
	log.Debug("after")
	o.tel.Level().Set(slog.LevelError)
	log.Info("at last")
	if got := text.String(); !strings.Contains(got, "after") || strings.Contains(got, "before") || strings.Contains(got, "at last") {
		t.Error(got)
	}
}

// The certificate, the breaker and the limiter are on /metrics, and what is
// generated knows of them.
func TestAScrapeShowsCertificatesAndPolicies(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()
	logs := connectumtest.RecordLogs(t)
	certs := connectumtest.Certs(t)
	limiter, breaker := resilience.NewLimiter(resilience.LimiterConfig{}), resilience.NewBreaker(resilience.BreakerConfig{})
	srv := connectum.New(connectum.Config{AdminAddr: "127.0.0.1:0", TLS: certs.ServerTLS(), Logger: logs.Logger(),
		Interceptors: interceptor.Defaults(interceptor.Config{Telemetry: tel.Server(), Limiter: limiter, Logger: quiet})})
	srv.AddMetrics(limiter.Metrics)
	srv.AddMetrics(breaker.Metrics)
	testservice.Service{}.Register(srv.RPC())
	health.Register(srv)
	tel.Register(srv)
	connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust()))
	o := &observed{admin: "http://" + logs.Await(t, "server started").Attrs["admin"].(string)}
	client := connect.NewClient(srv.Transport(), interceptor.ClientDefaults(interceptor.ClientConfig{Target: "shop", Breaker: breaker})...)
	if err := methods[0].call(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	_, text := o.ask(t, "GET", "/metrics", "text/plain", "")
	dashboard, err := telemetry.Dashboard(srv, "")
	if err != nil {
		t.Fatal(err)
	}
	all := string(dashboard) + string(telemetry.Alerts(srv, telemetry.AlertConfig{}))
	for _, want := range []string{"connectum_tls_certificate_expiry_seconds", "connectum_tls_reload_failures_total", "connectum_breaker_state", "connectum_limiter_limit", "connectum_health_serving"} {
		if !regexp.MustCompile(`(?m)^`+want+`(\{[^}]*\})? \d`).MatchString(text) || !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
