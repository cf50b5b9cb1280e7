package telemetry

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	lognoop "go.opentelemetry.io/otel/log/noop"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/resource"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// To find out what the process is takes files to be read: a start does it where a
// provider of ours tells of it.
func TestProvidersThatAreGivenAreNotDescribed(t *testing.T) {
	t.Parallel()
	given := Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), LoggerProvider: lognoop.NewLoggerProvider()}
	metrics := given
	metrics.MeterProvider = nil
	for _, c := range []struct {
		cfg  Config
		want int
	}{{given, 0}, {metrics, 1}} {
		s, err := resolve(c.cfg, environment{func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		described := func() *resource.Resource { asked++; return resource.Empty() }
		tel := &Telemetry{cfg: c.cfg, exposition: prometheus.NewRegistry()}
		if err := errors.Join(tel.startTraces(t.Context(), s, described), tel.startMetrics(t.Context(), s, described), tel.startLogs(t.Context(), s, described)); err != nil {
			t.Fatal(err)
		}
		if err := tel.each(func(c closer) error { return c.shutdown(t.Context()) }); err != nil {
			t.Error(err)
		}
		if asked != c.want {
			t.Errorf("the process was described %d times, want %d", asked, c.want)
		}
	}
}
