package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/connectum-go/connectum"
)

// samples shows what a server yields on its /metrics.
type samples struct {
	srv *connectum.Server
	log func() *slog.Logger
}

// Describe implements [prometheus.Collector]: what a server yields is known
// when it is asked.
func (s samples) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector]. Measurements that Prometheus would
// refuse, and the second of two that are called alike, are left out, as they
// would hide all others.
func (s samples) Collect(out chan<- prometheus.Metric) {
	seen := map[string]bool{}
	kinds := map[string]string{}
	for m := range s.srv.Metrics() {
		kind, key := prometheus.GaugeValue, m.Name
		if m.Counter {
			kind = prometheus.CounterValue
		}
		var names, values []string
		for _, l := range m.Labels {
			names, values = append(names, l.Name), append(values, strings.ToValidUTF8(l.Value, "?"))
		}
		key += "\xff" + strings.Join(names, "\xff") + "\xff" + strings.Join(values, "\xff")
		like := kind.ToDTO().String() + m.Help
		if first, ok := kinds[m.Name]; seen[key] || ok && first != like {
			s.log().Debug("telemetry: a measurement is there twice, or in two ways", "name", m.Name)
			continue
		}
		metric, err := prometheus.NewConstMetric(prometheus.NewDesc(m.Name, m.Help, names, nil), kind, m.Value, values...)
		if err != nil {
			s.log().Debug("telemetry: a measurement is not one of Prometheus", "name", m.Name, "error", err)
			continue
		}
		seen[key], kinds[m.Name] = true, like
		out <- metric
	}
}

// samples yields what the telemetry has to say of itself.
func (t *Telemetry) samples(yield func(connectum.Sample) bool) {
	for i := range t.failures {
		if !yield(connectum.Sample{Name: "connectum_telemetry_export_failures_total", Help: "Exports of telemetry that failed.", Counter: true,
			Labels: []connectum.Label{{Name: "signal", Value: signal(i).String()}}, Value: float64(t.failures[i].count.Load())}) {
			return
		}
	}
}

// producer gives what the registered servers yield to the exporters of metrics.
type producer Telemetry

// Produce implements [go.opentelemetry.io/otel/sdk/metric.Producer].
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	t := (*Telemetry)(p)
	t.mu.Lock()
	servers := slices.Clone(t.servers)
	t.mu.Unlock()
	now := time.Now()
	var all []metricdata.Metrics
	at := map[string]int{}
	for n, srv := range servers {
		for m := range srv.Metrics() {
			attrs := make([]attribute.KeyValue, 0, len(m.Labels)+1)
			for _, l := range m.Labels {
				attrs = append(attrs, attribute.String(l.Name, l.Value))
			}
			if len(servers) > 1 {
				attrs = append(attrs, attribute.String("connectum.server", strconv.Itoa(n)))
			}
			point := metricdata.DataPoint[float64]{Attributes: attribute.NewSet(attrs...), StartTime: t.started, Time: now, Value: m.Value}
			i, ok := at[m.Name]
			if !ok {
				i = len(all)
				at[m.Name] = i
				all = append(all, metricdata.Metrics{Name: m.Name, Description: m.Help, Data: metricdata.Gauge[float64]{}})
				if m.Counter {
					all[i].Data = metricdata.Sum[float64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
				}
			}
			switch data := all[i].Data.(type) {
			case metricdata.Gauge[float64]:
				data.DataPoints = append(data.DataPoints, point)
				all[i].Data = data
			case metricdata.Sum[float64]:
				data.DataPoints = append(data.DataPoints, point)
				all[i].Data = data
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: "github.com/connectum-go/connectum"}, Metrics: all}}, nil
}
