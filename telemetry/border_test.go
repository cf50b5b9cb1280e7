package telemetry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// Trace and baggage cross the border of a process as W3C has them, by whatever
// door, and as a propagator of one's own has them; of strangers nothing is
// believed. A part that is nonsense costs none of the others.
func TestTraceAndBaggageCrossTheBorder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg               telemetry.Config
		headers           map[string]string // in place of what the client says
		want              string
		continued, linked bool
	}{
		"by default":                  {telemetry.Config{}, nil, "acme", true, false},
		"a propagator of one's own":   {telemetry.Config{Propagator: shouting{}}, nil, "", true, false},
		"its baggage alone":           {telemetry.Config{Propagator: propagation.Baggage{}}, nil, "acme", false, false},
		"strangers":                   {telemetry.Config{LinkRemote: true}, nil, "", false, true},
		"strangers, one's own":        {telemetry.Config{LinkRemote: true, Propagator: shouting{}}, nil, "", false, true},
		"with nonsense in the middle": {telemetry.Config{}, map[string]string{"Baggage": "tenant=acme,=;,other=1"}, "acme", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.Start(t, c.cfg)
			var got baggage.Baggage
			srv := serve(testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				got = baggage.FromContext(ctx)
				return &testv1.EchoResponse{}, nil
			}}, rec.Server())
			run := connectumtest.Start(t, srv)
			for _, door := range run.Doors() {
				if door.Name == "in-process" { // no border
					continue
				}
				rec.Reset()
				got = baggage.Baggage{}
				to, err := door.Open(t.Context(), srv)
				if err != nil {
					t.Fatal(err)
				}
				member, err := baggage.NewMember("tenant", "acme")
				if err != nil {
					t.Fatal(err)
				}
				bag, err := baggage.New(member)
				if err != nil {
					t.Fatal(err)
				}
				ctx := t.Context()
				if c.headers == nil {
					ctx = baggage.ContextWithBaggage(ctx, bag)
				}
				ctx, info := connect.NewClientContext(ctx)
				for k, v := range c.headers {
					info.RequestHeader().Set(k, v)
				}
				if _, err := testv1connect.NewTestServiceClient(connect.NewClient(to, rec.Client())).Echo(ctx, &testv1.EchoRequest{}); err != nil {
					t.Fatal(err)
				}
				client, server := rec.ClientSpan(t, echo), rec.ServerSpan(t, echo)
				if continued, linked := server.ParentID == client.SpanID, len(server.Links) == 1 && server.Links[0] == client.SpanID; continued != c.continued || linked != c.linked {
					t.Errorf("%s: continued %v, linked %v", door.Name, continued, linked)
				}
				if tenant := got.Member("tenant").Value(); tenant != c.want {
					t.Errorf("%s: baggage %q, want %q", door.Name, tenant, c.want)
				}
			}
		})
	}
}

// shouting is a propagator with a header of its own, which looks at all there are.
type shouting struct{}

func (shouting) Fields() []string { return []string{"x-trace"} }

func (shouting) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	sc := trace.SpanContextFromContext(ctx)
	c.Set("x-trace", sc.TraceID().String()+" "+sc.SpanID().String())
}

func (shouting) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	for _, key := range c.Keys() {
		if !strings.EqualFold(key, "x-trace") {
			continue
		}
		first, second, _ := strings.Cut(c.Get(key), " ")
		traceID, _ := trace.TraceIDFromHex(first)
		spanID, _ := trace.SpanIDFromHex(second)
		return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled}))
	}
	return ctx
}

// Globals are set when that is asked for, all of them, and not without it.
func TestGlobalsAreSetWhenAskedFor(t *testing.T) { //nolint:paralleltest // the globals are those of the process
	tracers, meters, loggers, propagator := otel.GetTracerProvider(), otel.GetMeterProvider(), otel.GetLoggerProvider(), otel.GetTextMapPropagator()
	t.Cleanup(func() {
		otel.SetTracerProvider(tracers)
		otel.SetMeterProvider(meters)
		otel.SetLoggerProvider(loggers)
		otel.SetTextMapPropagator(propagator)
	})
	for _, set := range []bool{false, true} {
		tel, err := telemetry.Start(t.Context(), telemetry.Config{SetGlobal: set, Traces: telemetry.Console, Metrics: telemetry.Console, Logs: telemetry.Console, Output: new(strings.Builder)})
		if err != nil {
			t.Fatal(err)
		}
		for what, is := range map[string]bool{
			"tracer provider": otel.GetTracerProvider() == tel.TracerProvider(), "meter provider": otel.GetMeterProvider() == tel.MeterProvider(),
			"logger provider": otel.GetLoggerProvider() == tel.LoggerProvider(), "propagator": len(otel.GetTextMapPropagator().Fields()) == len(tel.Propagator().Fields()),
		} {
			if is != set {
				t.Errorf("SetGlobal %v: the %s is the global one: %v", set, what, is)
			}
		}
		_ = tel.Shutdown(t.Context())
	}
}

// A collector behind mutual TLS is reached with the files that the environment
// names, over both protocols. Without them, and this is the control, it is not.
func TestACollectorBehindMutualTLS(t *testing.T) {
	connectumtest.NoLeaks(t)
	certs := connectumtest.Certs(t)
	c := newCollector(t)
	over := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(over, c)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			over.ServeHTTP(w, r)
			return
		}
		c.serve(w, r)
	}))
	web.EnableHTTP2 = true
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(certs.CAPEM)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{certs.Server.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority}
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.StartTLS()
	defer web.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	report := func(t *testing.T, name, protocol string) {
		t.Helper()
		tel, err := telemetry.Start(t.Context(), telemetry.Config{ServiceName: name, Protocol: protocol, Metrics: telemetry.None, Logs: telemetry.None, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if err := methods[0].call(t.Context(), connect.NewClient(serve(testservice.Service{}, tel.Server()).Transport())); err != nil {
			t.Fatal(err)
		}
		if err := tel.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		_ = tel.Shutdown(t.Context())
	}
	t.Run("without", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200") // grpc-go goes on trying
		report(t, "stranger", "grpc")
		report(t, "stranger", "http/protobuf")
	})
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certs.CAFile)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certs.Client.CertFile)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", certs.Client.CertFile) // comes before the other
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", certs.Client.KeyFile)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", certs.Client.KeyFile)
	report(t, "grpc", "grpc")
	report(t, "http", "http/protobuf")
	for service, want := range map[string]int{"stranger": 0, "grpc": 1, "http": 1} {
		if got := len(c.spansOf(service)); got != want {
			t.Errorf("%s: %d spans, want %d", service, got, want)
		}
	}
}
