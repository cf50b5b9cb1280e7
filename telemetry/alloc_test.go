package telemetry_test

import (
	"context"
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

// What a call allocates beyond a bare one: five when it is sampled, three when it
// is not, nothing when telemetry is off; metrics are on in both.
func TestAllocationsAreBounded(t *testing.T) {
	measure := func(chain ...connectum.Interceptor) float64 {
		client := connect.NewClient(serve(testservice.Service{}, chain...).Transport())
		call := func() {
			if err := methods[0].call(context.Background(), client); err != nil {
				t.Fatal(err)
			}
		}
		call()
		return testing.AllocsPerRun(2000, call)
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
	bare := measure()
	for name, c := range map[string]struct {
		link connectum.Interceptor
		most float64
	}{
		"off": {off.Server(), 0}, "dropped": {start(sdktrace.NeverSample()), 3}, "sampled": {start(sdktrace.AlwaysSample()), 5},
	} {
		if added := measure(c.link) - bare; added > c.most {
			t.Errorf("%s: %v allocations added, want at most %v", name, added, c.most)
		}
	}
}
