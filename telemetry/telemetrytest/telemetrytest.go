// Package telemetrytest shows what a server or a client records, in memory:
//
//	rec := telemetrytest.Start(t, telemetry.Config{})
//	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rec.Server()}})
//	...
//	span := rec.ServerSpan(t, "/greeter.v1.GreeterService/SayHello")
//	if span.Attributes["rpc.system.name"] != "grpc" {
//		...
//	}
//
// [Parity] holds a server to recording the same behind every door.
package telemetrytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum/telemetry"
)

// Recorder is telemetry that keeps what is recorded. It is safe for concurrent
// use.
type Recorder struct {
	*telemetry.Telemetry
	reader *sdkmetric.ManualReader

	mu      sync.Mutex
	spans   []Span
	records []Record
	changed chan struct{} // closed, and made anew, when there is more
}

// Start starts telemetry that records everything in memory until the test ends.
// cfg must not name exporters or providers; its Sampler counts.
func Start(t testing.TB, cfg telemetry.Config) *Recorder {
	t.Helper()
	r := &Recorder{reader: sdkmetric.NewManualReader(), changed: make(chan struct{})}
	traces := []sdktrace.TracerProviderOption{sdktrace.WithSpanProcessor((*processor)(r))}
	if cfg.Sampler != nil {
		traces = append(traces, sdktrace.WithSampler(cfg.Sampler))
	}
	cfg.TracerProvider = sdktrace.NewTracerProvider(traces...)
	cfg.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	cfg.LoggerProvider = sdklog.NewLoggerProvider(sdklog.WithProcessor((*logProcessor)(r)))
	tel, err := telemetry.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("start telemetry: %v", err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	r.Telemetry = tel
	return r
}

// Spans returns the spans that have ended, in that order.
func (r *Recorder) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Records returns the records that went to the logs of OpenTelemetry.
func (r *Recorder) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Record(nil), r.records...)
}

// Reset forgets the spans and records so far. Metrics go on.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans, r.records = nil, nil
}

// ServerSpan returns the span of a call that a server has served, by its
// procedure ("/pkg.Service/Method"). It waits for it, as a client has its answer
// before the span ends. The test ends when there is none within 20 s, or more than
// one.
func (r *Recorder) ServerSpan(t testing.TB, procedure string) Span {
	t.Helper()
	return r.one(t, trace.SpanKindServer, strings.TrimPrefix(procedure, "/"))
}

// ClientSpan is [Recorder.ServerSpan] for a call that a client has made.
func (r *Recorder) ClientSpan(t testing.TB, procedure string) Span {
	t.Helper()
	return r.one(t, trace.SpanKindClient, strings.TrimPrefix(procedure, "/"))
}

// InnerSpan returns the span of that name that is neither a server's nor a
// client's, as [Recorder.ServerSpan] does.
func (r *Recorder) InnerSpan(t testing.TB, name string) Span {
	t.Helper()
	return r.one(t, trace.SpanKindInternal, name)
}

func (r *Recorder) one(t testing.TB, kind trace.SpanKind, name string) Span {
	t.Helper()
	var found []Span
	r.await(func() bool {
		found = nil
		for _, s := range r.Spans() {
			if s.Kind == kind && s.Name == name {
				found = append(found, s)
			}
		}
		return len(found) > 0
	})
	if len(found) != 1 {
		t.Fatalf("%d spans of %s %q, want one; there are %s", len(found), kind, name, r.names())
	}
	return found[0]
}

// Await waits until n spans have ended, and returns all that have. The test ends
// when they have not within 20 s.
func (r *Recorder) Await(t testing.TB, n int) []Span {
	t.Helper()
	if !r.await(func() bool { return len(r.Spans()) >= n }) {
		t.Fatalf("%d spans, want %d: %s", len(r.Spans()), n, r.names())
	}
	return r.Spans()
}

// await waits for done, which is asked whenever there is more.
func (r *Recorder) await(done func() bool) bool {
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if done() {
			return true
		}
		select {
		case <-changed:
		case <-patience.C:
			return false
		}
	}
}

func (r *Recorder) names() string {
	var names []string
	for _, s := range r.Spans() {
		names = append(names, fmt.Sprintf("%s %q", s.Kind, s.Name))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// add runs f on what is kept.
func (r *Recorder) add(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}
