package telemetrytest

import (
	"context"
	"maps"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Point is one series of a metric.
type Point struct {
	Name   string
	Unit   string
	Labels map[string]string
	Count  uint64  // of what a histogram has seen
	Sum    float64 // of it; the value of other kinds
}

// Points returns the series of the metric of that name ("" for all) that have
// these labels, and maybe others.
func (r *Recorder) Points(t testing.TB, name string, labels map[string]string) []Point {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		t.Fatalf("collect metrics: %v", err)
	}
	var found []Point
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if name != "" && m.Name != name {
				continue
			}
			for _, p := range points(m) {
				if has(p.Labels, labels) {
					found = append(found, p)
				}
			}
		}
	}
	return found
}

// Point returns the one series that [Recorder.Points] finds; the test ends when
// there is none, or more. What a call of a server records is there once its span
// has ended: see [Recorder.ServerSpan].
func (r *Recorder) Point(t testing.TB, name string, labels map[string]string) Point {
	t.Helper()
	found := r.Points(t, name, labels)
	if len(found) != 1 {
		t.Fatalf("%d series of %s with %v, want one: %v", len(found), name, labels, found)
	}
	return found[0]
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func points(m metricdata.Metrics) []Point {
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		return histogram(m, data.DataPoints)
	case metricdata.Histogram[int64]:
		return histogram(m, data.DataPoints)
	case metricdata.Sum[float64]:
		return numbers(m, data.DataPoints)
	case metricdata.Sum[int64]:
		return numbers(m, data.DataPoints)
	case metricdata.Gauge[float64]:
		return numbers(m, data.DataPoints)
	case metricdata.Gauge[int64]:
		return numbers(m, data.DataPoints)
	}
	return nil
}

func histogram[N int64 | float64](m metricdata.Metrics, all []metricdata.HistogramDataPoint[N]) []Point {
	var out []Point
	for _, p := range all {
		out = append(out, Point{m.Name, m.Unit, maps.Clone(texts(p.Attributes.ToSlice())), p.Count, float64(p.Sum)})
	}
	return out
}

func numbers[N int64 | float64](m metricdata.Metrics, all []metricdata.DataPoint[N]) []Point {
	var out []Point
	for _, p := range all {
		out = append(out, Point{m.Name, m.Unit, texts(p.Attributes.ToSlice()), 1, float64(p.Value)})
	}
	return out
}
