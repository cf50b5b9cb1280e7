package telemetry_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector is a receiver of OTLP that speaks both protocols. It keeps what it
// gets, by the name of the service that sent it.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	grpcURL, httpURL string
	delay            time.Duration // before it takes spans
	discard          bool          // and everything else

	mu      sync.Mutex
	spans   map[string][]*tracepb.Span
	metrics map[string][]*metricspb.Metric
	records map[string][]*logspb.LogRecord
	headers []string // X-Tenant of requests over HTTP
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{spans: map[string][]*tracepb.Span{}, metrics: map[string][]*metricspb.Metric{}, records: map[string][]*logspb.LogRecord{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, c)
	colmetrics.RegisterMetricsServiceServer(server, metricsReceiver{c: c})
	collogs.RegisterLogsServiceServer(server, logsReceiver{c: c})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { server.Stop(); <-served })
	c.grpcURL = "http://" + l.Addr().String()
	web := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(web.Close)
	c.httpURL = web.URL
	return c
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.headers = append(c.headers, r.Header.Get("X-Tenant"))
	c.mu.Unlock()
	var err error
	switch r.URL.Path {
	case "/v1/traces":
		req := new(coltrace.ExportTraceServiceRequest)
		if err = proto.Unmarshal(body, req); err == nil {
			_, err = c.Export(r.Context(), req)
		}
	case "/v1/metrics":
		req := new(colmetrics.ExportMetricsServiceRequest)
		if err = proto.Unmarshal(body, req); err == nil {
			_, err = metricsReceiver{c: c}.Export(r.Context(), req)
		}
	case "/v1/logs":
		req := new(collogs.ExportLogsServiceRequest)
		if err = proto.Unmarshal(body, req); err == nil {
			_, err = logsReceiver{c: c}.Export(r.Context(), req)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Export receives spans.
func (c *collector) Export(ctx context.Context, req *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	if c.delay > 0 {
		select {
		case <-time.After(c.delay):
		case <-ctx.Done():
		}
	}
	if c.discard {
		return &coltrace.ExportTraceServiceResponse{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			name := value(rs.GetResource().GetAttributes(), "service.name")
			c.spans[name] = append(c.spans[name], ss.GetSpans()...)
		}
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

type metricsReceiver struct {
	colmetrics.UnimplementedMetricsServiceServer
	c *collector
}

func (r metricsReceiver) Export(_ context.Context, req *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for _, rm := range req.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			name := value(rm.GetResource().GetAttributes(), "service.name")
			r.c.metrics[name] = append(r.c.metrics[name], sm.GetMetrics()...)
		}
	}
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

type logsReceiver struct {
	collogs.UnimplementedLogsServiceServer
	c *collector
}

func (r logsReceiver) Export(_ context.Context, req *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	if r.c.discard {
		return &collogs.ExportLogsServiceResponse{}, nil
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for _, rl := range req.GetResourceLogs() {
		for _, sl := range rl.GetScopeLogs() {
			name := value(rl.GetResource().GetAttributes(), "service.name")
			r.c.records[name] = append(r.c.records[name], sl.GetLogRecords()...)
		}
	}
	return &collogs.ExportLogsServiceResponse{}, nil
}

func value(attrs []*commonpb.KeyValue, key string) string {
	for _, a := range attrs {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// spansOf, metricNames and recordsOf are what a service has sent so far.
func (c *collector) spansOf(service string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans[service])
}

func (c *collector) recordsOf(service string) []*logspb.LogRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.records[service])
}

func (c *collector) metricNames(service string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, m := range c.metrics[service] {
		names = append(names, m.GetName())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}
