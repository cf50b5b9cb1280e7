package telemetry_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

// A collector gets spans, metrics and logs of calls through each door, over both
// protocols of OTLP; the call of one service to another is one trace.
func TestACollectorGetsOneTraceOverTwoServices(t *testing.T) { //nolint:paralleltest // the goroutines are those of the process
	connectumtest.NoLeaks(t)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c := newCollector(t)
			endpoint := c.grpcURL
			if protocol != "grpc" {
				endpoint = c.httpURL + "/" // behaviour 130: a trailing slash is trimmed
			}
			start := func(name string) *telemetry.Telemetry {
				tel, err := telemetry.Start(t.Context(), telemetry.Config{ServiceName: name, Endpoint: endpoint, Protocol: protocol,
					Headers: map[string]string{"x-tenant": "acme"}})
				if err != nil {
					t.Fatal(err)
				}
				return tel
			}
			shop, stock := start("shop"), start("stock")
			var text bytes.Buffer
			log := slog.New(stock.LogHandler(slog.NewTextHandler(&text, nil)))
			inner := serve(testservice.Service{OnGet: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
				log.InfoContext(ctx, "looked up", "what", req.GetText())
				return &testv1.GetResponse{Text: req.GetText()}, nil
			}}, stock.Server())
			stock.Register(inner)
			innerRun := connectumtest.Start(t, inner)
			calls := 0
			for _, door := range innerRun.Doors() {
				to, err := door.Open(t.Context(), inner)
				if err != nil {
					t.Fatal(err)
				}
				get := testv1connect.NewTestServiceClient(connect.NewClient(to, shop.Client()))
				outer := serve(testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
					res, err := get.Get(ctx, &testv1.GetRequest{Text: req.GetText()})
					return &testv1.EchoResponse{Text: res.GetText()}, err
				}}, shop.Server())
				shop.Register(outer)
				outerRun := connectumtest.Start(t, outer)
				if err := methods[0].call(t.Context(), outerRun.Through(t, doorOf(outerRun, door.Name))); err != nil {
					t.Fatalf("%s: %v", door.Name, err)
				}
				calls++
				if err := outerRun.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if err := innerRun.Stop(); err != nil {
				t.Fatal(err)
			}
			// behaviour 136: the stop sends everything.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = shop.Shutdown(ctx)
			_ = stock.Shutdown(ctx)

			traces := map[string][]*tracepb.Span{}
			for _, s := range append(c.spansOf("shop"), c.spansOf("stock")...) {
				traces[string(s.GetTraceId())] = append(traces[string(s.GetTraceId())], s)
			}
			if len(traces) != calls {
				t.Errorf("%d traces of %d calls", len(traces), calls)
			}
			records := map[string]bool{}
			for _, r := range c.recordsOf("stock") {
				if r.GetBody().GetStringValue() == "looked up" && value(r.GetAttributes(), "what") == "hello" {
					records[string(r.GetTraceId())] = true
				}
			}
			for id, spans := range traces {
				// outer server → its client → inner server
				byID := map[string]*tracepb.Span{}
				for _, s := range spans {
					byID[string(s.GetSpanId())] = s
				}
				if len(spans) != 3 {
					t.Errorf("a trace has %d spans: %v", len(spans), spans)
				}
				for _, s := range spans {
					parent := byID[string(s.GetParentSpanId())]
					if want := map[string]tracepb.Span_SpanKind{"connectum.test.v1.TestService/Echo": 0, "connectum.test.v1.TestService/Get": tracepb.Span_SPAN_KIND_SERVER}[s.GetName()]; s.GetKind() == tracepb.Span_SPAN_KIND_SERVER && want != 0 && parent.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
						t.Errorf("the parent of the inner server's span is %v", parent)
					}
				}
				if !records[id] {
					t.Error("no record of the log in this trace")
				}
			}
			for service, want := range map[string][]string{
				"shop":  {"rpc.server.call.duration", "rpc.client.call.duration", "rpc.client.request.size", "go.goroutine.count", "connectum_calls_in_flight"},
				"stock": {"rpc.server.call.duration", "rpc.server.request.size", "rpc.server.response.size", "connectum_telemetry_export_failures_total"},
			} {
				for _, name := range want {
					if !strings.Contains(c.metricNames(service), name) {
						t.Errorf("%s has no %s: %s", service, name, c.metricNames(service))
					}
				}
			}
			if protocol != "grpc" && c.headers[0] != "acme" {
				t.Errorf("headers %q", c.headers)
			}
			if n := strings.Count(text.String(), "trace_id="); n != calls {
				t.Errorf("%d of %d lines have a trace:\n%s", n, calls, text.String())
			}
		})
	}
}

func doorOf(run *connectumtest.Server, name string) connectumtest.Door {
	for _, d := range run.Doors() {
		if d.Name == name {
			return d
		}
	}
	panic("no door " + name)
}
