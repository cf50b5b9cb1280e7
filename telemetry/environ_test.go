package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"

	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

// behaviours 128, 130 and 135: each variable alone, with what it may be and what
// it may not. What is wrong is an error that names the variable and says what is
// allowed; what is right starts, and nothing is said on the handler of errors that
// OpenTelemetry has for all.
func TestEveryVariableIsChecked(t *testing.T) { //nolint:paralleltest // it sets the environment
	var said []string
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { said = append(said, err.Error()) }))
	t.Cleanup(func() { otel.SetErrorHandler(before) })

	ca, cert, key := pemFiles(t)
	each := func(suffix string) []string {
		return []string{"OTEL_EXPORTER_OTLP_" + suffix, "OTEL_EXPORTER_OTLP_TRACES_" + suffix, "OTEL_EXPORTER_OTLP_METRICS_" + suffix, "OTEL_EXPORTER_OTLP_LOGS_" + suffix}
	}
	type variable struct {
		names      []string
		good, bad  []string
		allowed    string            // is in the error
		besides    map[string]string // is set as well
		notInError string
	}
	number := func(least string, names ...string) variable {
		return variable{names: names, good: []string{"1", "2000"}, bad: []string{"-2", "many", "1.5", "10s", " 7", "99999999999"}, allowed: "a whole number from " + least}
	}
	all := []variable{
		{names: []string{"OTEL_SDK_DISABLED"}, good: []string{"true", "FALSE"}, bad: []string{"maybe", "1"}, allowed: "true or false"},
		{names: []string{"OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER"}, good: []string{"otlp", "none", "otlp, console"}, bad: []string{"zipkin", "prometheus", "otlp,none", "otlp,"}, allowed: "none"},
		{names: []string{"OTEL_METRICS_EXPORTER"}, good: []string{"otlp", "prometheus", "none", "prometheus,otlp"}, bad: []string{"statsd", "none,otlp"}, allowed: "none"},
		{names: []string{"OTEL_TRACES_SAMPLER"}, good: []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "ParentBased_TraceIDRatio"},
			bad: []string{"jaeger_remote", "sometimes"}, allowed: "parentbased_traceidratio"},
		{names: []string{"OTEL_TRACES_SAMPLER_ARG"}, besides: map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio"}, good: []string{"0", "0.25", "1"}, bad: []string{"2", "-0.1", "half", "NaN", "10%"}, allowed: "a ratio from 0 to 1"},
		{names: []string{"OTEL_PROPAGATORS"}, good: []string{"tracecontext", "baggage", "baggage, tracecontext", "none"}, bad: []string{"b3", "none,baggage", "tracecontext,"}, allowed: "none"},
		{names: each("ENDPOINT"), good: []string{"http://127.0.0.1:1", "https://127.0.0.1:1/otlp/"},
			bad:     []string{"ftp://collector", "unix:///run/otel.sock", "http://", "http://:4318", "http://collector:99999", "http://a b", "http://collector?tenant=acme", " http://127.0.0.1:1"},
			allowed: "ENDPOINT"},
		{names: each("ENDPOINT"), bad: []string{"collector:4317", "127.0.0.1:4317"}, allowed: "http://collector:4318"},
		{names: each("ENDPOINT"), bad: []string{"http://user:hunter2@collector", "http://user:hunter2@collector:x"}, allowed: "ENDPOINT", notInError: "hunter2"},
		{names: each("PROTOCOL"), good: []string{"grpc", "http/protobuf"}, bad: []string{"http/json", "http", "GRPC", "grpc "}, allowed: "PROTOCOL"},
		{names: each("HEADERS"), good: []string{"x-tenant=acme%20inc", "a=b, c=d=e"}, bad: []string{"secret", "secret=%zz", "=secret", "a secret=b", "a=b,", "a=secret%0aX-B:c"}, allowed: "a list of key=value, percent-encoded", notInError: "secret"},
		number("0", each("TIMEOUT")...),
		{names: each("COMPRESSION"), good: []string{"gzip", "none"}, bad: []string{"zstd", "GZIP"}, allowed: "gzip, none"},
		{names: each("INSECURE"), good: []string{"true", "False"}, bad: []string{"yes", "1"}, allowed: "true, false"},
		{names: each("INSECURE"), besides: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, good: []string{"true"}, bad: []string{"false"}, allowed: "contradicts"},
		{names: each("INSECURE"), besides: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1"}, good: []string{"false"}, bad: []string{"true"}, allowed: "contradicts"},
		{names: each("CERTIFICATE"), good: []string{ca}, bad: []string{"/nowhere/ca.pem", key}, allowed: "CERTIFICATE"},
		{names: each("CLIENT_CERTIFICATE"), bad: []string{cert}, allowed: "go together"},
		{names: each("CLIENT_KEY"), bad: []string{key}, allowed: "go together"},
		{names: []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}, besides: map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_KEY": key}, good: []string{cert}, bad: []string{"/nowhere/cert.pem", key}, allowed: "CLIENT_CERTIFICATE"},
		{names: []string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"}, good: []string{"cumulative", "delta", "LowMemory"}, bad: []string{"sometimes"}, allowed: "cumulative, delta, lowmemory"},
		{names: []string{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"}, good: []string{"explicit_bucket_histogram", "base2_exponential_bucket_histogram"}, bad: []string{"round"}, allowed: "explicit_bucket_histogram"},
		{names: []string{"OTEL_METRICS_EXEMPLAR_FILTER"}, good: []string{"always_on", "always_off", "trace_based"}, bad: []string{"perhaps"}, allowed: "trace_based"},
		{names: []string{"OTEL_RESOURCE_ATTRIBUTES"}, good: []string{"team=a=b", "a=1, b = two%2C", "empty="}, bad: []string{"broken", "a=1,broken", "=1", "a=1,", "a=%zz", "a=%ff"}, allowed: "key=value"},
		{names: []string{"OTEL_SERVICE_NAME"}, good: []string{"shop"}, bad: []string{"\xff"}, allowed: "UTF-8"},
		number("0", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BLRP_EXPORT_TIMEOUT", "OTEL_GO_X_CARDINALITY_LIMIT"),
		number("1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BLRP_MAX_QUEUE_SIZE",
			"OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
		{names: []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"}, good: []string{"2048"}, bad: []string{"2049"}, allowed: "MAX_QUEUE_SIZE=2048"},
		number("-1", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
			"OTEL_SPAN_ATTRIBUTE_VALUE_DEPTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
			"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_DEPTH_LIMIT"),
	}
	for _, v := range all {
		for _, name := range v.names {
			start := func(t *testing.T, value string) error {
				for k, other := range v.besides {
					t.Setenv(k, other)
				}
				t.Setenv(name, value)
				tel, err := telemetry.Start(t.Context(), telemetry.Config{Logger: quiet})
				if err == nil {
					_ = tel.Shutdown(ended(t))
				}
				return err
			}
			for _, value := range v.good {
				t.Run(name+"="+value, func(t *testing.T) {
					if err := start(t, value); err != nil {
						t.Error(err)
					}
				})
			}
			for _, value := range v.bad {
				t.Run("not "+name+"="+value, func(t *testing.T) {
					err := start(t, value)
					if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), v.allowed) && !strings.Contains(err.Error(), "spaces") {
						t.Fatalf("%v", err)
					}
					if v.notInError != "" && strings.Contains(err.Error(), v.notInError) {
						t.Errorf("a secret is told: %v", err)
					}
					if n := strings.Count(err.Error(), name+"="); n > 1 {
						t.Errorf("told %d times: %v", n, err)
					}
				})
			}
		}
	}
	if len(said) > 0 {
		t.Errorf("said to the handler of all: %q", said)
	}
}

// What strangers send says nothing on that handler either.
func TestAStrangersHeadersAreNotTalkedAbout(t *testing.T) { //nolint:paralleltest // OpenTelemetry has one handler of errors
	before := otel.GetErrorHandler()
	var said []string
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { said = append(said, err.Error()) }))
	defer otel.SetErrorHandler(before)
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Traces: telemetry.Console, Output: new(strings.Builder)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(t.Context()) }()
	h := serve(testservice.Service{}, tel.Server()).Handler()
	for _, headers := range []map[string]string{{"Baggage": "=,;=nonsense"}, {"Baggage": strings.Repeat("a=b,", 10_000)}, {"Traceparent": "nonsense", "Tracestate": "=,="}} {
		if code := post(t, h, headers); code != 200 {
			t.Errorf("%d", code)
		}
	}
	if len(said) > 0 {
		t.Errorf("%q", said)
	}
}

// Headers of Config are held to the same.
func TestHeadersOfConfigAreChecked(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{"": "x", "a b": "x", "a": "line\nbreak", "ä": "x"} {
		_, err := telemetry.Start(t.Context(), telemetry.Config{Headers: map[string]string{key: value}, Endpoint: "http://127.0.0.1:1"})
		if err == nil || !strings.Contains(err.Error(), "Config.Headers") || strings.Contains(err.Error(), value) && value != "x" {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// pemFiles returns files with a certificate authority, a certificate and its key.
func pemFiles(t *testing.T) (ca, cert, key string) {
	t.Helper()
	certs := connectumtest.Certs(t)
	return certs.CAFile, certs.Client.CertFile, certs.Client.KeyFile
}

// ended returns a context for those who must not wait.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// post calls Echo with these headers.
func post(t *testing.T, h http.Handler, headers map[string]string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, echo, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}
