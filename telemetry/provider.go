package telemetry

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// longest is how long a text in an attribute may be where no variable says it:
// memory is bounded by the number of spans and records that wait, and so are
// they then.
const longest = 4 << 10

// output is where Console writes.
func (t *Telemetry) output() io.Writer {
	if t.cfg.Output != nil {
		return t.cfg.Output
	}
	return os.Stdout
}

// exported reports whether the exporters of a signal are more than none.
func exported(exporters []Exporter) bool {
	return len(exporters) > 0 && !slices.Contains(exporters, None)
}

func (t *Telemetry) startTraces(ctx context.Context, s settings, described func() *resource.Resource) error {
	if t.cfg.TracerProvider != nil {
		t.traces, t.tracerProvider = true, t.cfg.TracerProvider
		return nil
	}
	if !exported(s.exporters[traces]) {
		return nil
	}
	limits := sdktrace.NewSpanLimits()
	if s.capped {
		limits.AttributeValueLengthLimit = longest
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(described()), sdktrace.WithRawSpanLimits(limits)}
	if t.cfg.Sampler != nil {
		options = append(options, sdktrace.WithSampler(t.cfg.Sampler))
	}
	var faults []error
	for _, e := range s.exporters[traces] {
		exporter, err := t.spanExporter(ctx, e, s)
		if err != nil {
			faults = append(faults, failedStart(traces, e, err))
			continue
		}
		options = append(options, sdktrace.WithBatcher(spans{exporter, t.supervise(traces)}))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.traces, t.tracerProvider = true, provider
	t.closers = append(t.closers, closer{traces, provider.ForceFlush, provider.Shutdown})
	return errors.Join(faults...)
}

func (t *Telemetry) spanExporter(ctx context.Context, e Exporter, s settings) (sdktrace.SpanExporter, error) {
	if e == Console {
		return stdouttrace.New(stdouttrace.WithWriter(t.output()))
	}
	return t.otlpTraces(ctx, s)
}

func (t *Telemetry) startMetrics(ctx context.Context, s settings, described func() *resource.Resource) error {
	if t.cfg.MeterProvider != nil {
		t.metrics, t.meterProvider = true, t.cfg.MeterProvider
		return nil
	}
	if slices.Contains(s.exporters[metrics], None) {
		return nil
	}
	// The exposition collects when it is asked; it is there before anybody
	// knows whether Register will be called.
	exposition, err := prometheus.New(prometheus.WithRegisterer(t.exposition), prometheus.WithoutScopeInfo())
	if err != nil {
		return failedStart(metrics, Prometheus, err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(described()), sdkmetric.WithReader(exposition)}
	var faults []error
	for _, e := range s.exporters[metrics] {
		t.metrics = true
		if e == Prometheus {
			continue
		}
		exporter, err := t.metricExporter(ctx, e, s)
		if err != nil {
			faults = append(faults, failedStart(metrics, e, err))
			continue
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points{exporter, t.supervise(metrics)},
			sdkmetric.WithProducer((*producer)(t)))))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.meterProvider = provider
	t.closers = append(t.closers, closer{metrics, provider.ForceFlush, provider.Shutdown})
	return errors.Join(faults...)
}

func (t *Telemetry) metricExporter(ctx context.Context, e Exporter, s settings) (sdkmetric.Exporter, error) {
	if e == Console {
		return stdoutmetric.New(stdoutmetric.WithWriter(t.output()))
	}
	return t.otlpMetrics(ctx, s)
}

func (t *Telemetry) startLogs(ctx context.Context, s settings, described func() *resource.Resource) error {
	if t.cfg.LoggerProvider != nil {
		t.logs, t.loggerProvider = true, t.cfg.LoggerProvider
		return nil
	}
	if !exported(s.exporters[logs]) {
		return nil
	}
	options := []sdklog.LoggerProviderOption{sdklog.WithResource(described())}
	if s.capped {
		options = append(options, sdklog.WithAttributeValueLengthLimit(longest))
	}
	var faults []error
	for _, e := range s.exporters[logs] {
		exporter, err := t.logExporter(ctx, e, s)
		if err != nil {
			faults = append(faults, failedStart(logs, e, err))
			continue
		}
		options = append(options, sdklog.WithProcessor(sdklog.NewBatchProcessor(records{exporter, t.supervise(logs)})))
	}
	provider := sdklog.NewLoggerProvider(options...)
	t.logs, t.loggerProvider = true, provider
	t.closers = append(t.closers, closer{logs, provider.ForceFlush, provider.Shutdown})
	return errors.Join(faults...)
}

func (t *Telemetry) logExporter(ctx context.Context, e Exporter, s settings) (sdklog.Exporter, error) {
	if e == Console {
		return stdoutlog.New(stdoutlog.WithWriter(t.output()))
	}
	return t.otlpLogs(ctx, s)
}
