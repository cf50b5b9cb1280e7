package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

// sink takes spans and loses them.
type sink struct{}

func (sink) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (sink) Shutdown(context.Context) error                             { return nil }

// What a call allocates beyond a bare one: four when it is sampled, two when it is
// not, nothing when telemetry is off; metrics are on in both. A caller's span is one
// more.
func TestAllocationsAreBounded(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	inproc := func(chain ...connectum.Interceptor) float64 {
		client := connect.NewClient(serve(testservice.Service{}, chain...).Transport())
		call := func() {
			if err := methods[0].call(context.Background(), client); err != nil {
				t.Fatal(err)
			}
		}
		call()
		return testing.AllocsPerRun(2000, call)
	}
	remote := func(flags string) func(chain ...connectum.Interceptor) float64 {
		return func(chain ...connectum.Interceptor) float64 {
			h := serve(testservice.Service{}, chain...).Handler()
			body := strings.NewReader("")
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, echo, body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"+flags)
			call := func() {
				body.Reset("{}")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Fatal(w.Body)
				}
			}
			call()
			return testing.AllocsPerRun(2000, call)
		}
	}
	start := func(sampler sdktrace.Sampler) connectum.Interceptor {
		tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(sink{}))
		t.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
		tel, err := telemetry.Start(t.Context(), telemetry.Config{TracerProvider: tp,
			MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))})
		if err != nil {
			t.Fatal(err)
		}
		return tel.Server()
	}
	off, err := telemetry.Start(t.Context(), telemetry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	parented := sdktrace.ParentBased(sdktrace.NeverSample())
	for name, c := range map[string]struct {
		measure func(...connectum.Interceptor) float64
		link    connectum.Interceptor
		most    float64
	}{
		"off":                       {inproc, off.Server(), 0},
		"dropped":                   {inproc, start(sdktrace.NeverSample()), 2},
		"sampled":                   {inproc, start(sdktrace.AlwaysSample()), 4},
		"dropped, of a remote span": {remote("00"), start(parented), 3},
		"sampled, of a remote span": {remote("01"), start(parented), 5},
	} {
		if added := c.measure(c.link) - c.measure(); added > c.most {
			t.Errorf("%s: %v allocations added, want at most %v", name, added, c.most)
		}
	}
}
