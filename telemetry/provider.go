package telemetry

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
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

// endpoint is the URL of a signal over HTTP, from the one of all.
func (t *Telemetry) endpoint(s signal) string {
	return strings.TrimRight(strings.TrimSpace(t.cfg.Endpoint), "/") + "/v1/" + s.String()
}

// exported reports whether the exporters of a signal are more than none.
func exported(exporters []Exporter) bool {
	return len(exporters) > 0 && !slices.Contains(exporters, None)
}

func (t *Telemetry) startTraces(ctx context.Context, s settings) error {
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
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(t.resource), sdktrace.WithRawSpanLimits(limits)}
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
	switch {
	case e == Console:
		return stdouttrace.New(stdouttrace.WithWriter(t.output()))
	case s.protocol[traces] == "grpc":
		var options []otlptracegrpc.Option
		if t.cfg.Endpoint != "" {
			options = append(options, otlptracegrpc.WithEndpointURL(strings.TrimSpace(t.cfg.Endpoint)))
		}
		if len(t.cfg.Headers) > 0 {
			options = append(options, otlptracegrpc.WithHeaders(maps.Clone(t.cfg.Headers)))
		}
		return otlptracegrpc.New(ctx, options...)
	}
	client, err := t.httpClient(traces, s.env)
	if err != nil {
		return nil, err
	}
	options := []otlptracehttp.Option{otlptracehttp.WithHTTPClient(client)}
	if t.cfg.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(t.endpoint(traces)))
	}
	if len(t.cfg.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(maps.Clone(t.cfg.Headers)))
	}
	return otlptracehttp.New(ctx, options...)
}

func (t *Telemetry) startMetrics(ctx context.Context, s settings) error {
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
	options := []sdkmetric.Option{sdkmetric.WithResource(t.resource), sdkmetric.WithReader(exposition)}
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
	switch {
	case e == Console:
		return stdoutmetric.New(stdoutmetric.WithWriter(t.output()))
	case s.protocol[metrics] == "grpc":
		var options []otlpmetricgrpc.Option
		if t.cfg.Endpoint != "" {
			options = append(options, otlpmetricgrpc.WithEndpointURL(strings.TrimSpace(t.cfg.Endpoint)))
		}
		if len(t.cfg.Headers) > 0 {
			options = append(options, otlpmetricgrpc.WithHeaders(maps.Clone(t.cfg.Headers)))
		}
		return otlpmetricgrpc.New(ctx, options...)
	}
	client, err := t.httpClient(metrics, s.env)
	if err != nil {
		return nil, err
	}
	options := []otlpmetrichttp.Option{otlpmetrichttp.WithHTTPClient(client)}
	if t.cfg.Endpoint != "" {
		options = append(options, otlpmetrichttp.WithEndpointURL(t.endpoint(metrics)))
	}
	if len(t.cfg.Headers) > 0 {
		options = append(options, otlpmetrichttp.WithHeaders(maps.Clone(t.cfg.Headers)))
	}
	return otlpmetrichttp.New(ctx, options...)
}

func (t *Telemetry) startLogs(ctx context.Context, s settings) error {
	if t.cfg.LoggerProvider != nil {
		t.logs, t.loggerProvider = true, t.cfg.LoggerProvider
		return nil
	}
	if !exported(s.exporters[logs]) {
		return nil
	}
	options := []sdklog.LoggerProviderOption{sdklog.WithResource(t.resource)}
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
	switch {
	case e == Console:
		return stdoutlog.New(stdoutlog.WithWriter(t.output()))
	case s.protocol[logs] == "grpc":
		var options []otlploggrpc.Option
		if t.cfg.Endpoint != "" {
			options = append(options, otlploggrpc.WithEndpointURL(strings.TrimSpace(t.cfg.Endpoint)))
		}
		if len(t.cfg.Headers) > 0 {
			options = append(options, otlploggrpc.WithHeaders(maps.Clone(t.cfg.Headers)))
		}
		return otlploggrpc.New(ctx, options...)
	}
	client, err := t.httpClient(logs, s.env)
	if err != nil {
		return nil, err
	}
	options := []otlploghttp.Option{otlploghttp.WithHTTPClient(client)}
	if t.cfg.Endpoint != "" {
		options = append(options, otlploghttp.WithEndpointURL(t.endpoint(logs)))
	}
	if len(t.cfg.Headers) > 0 {
		options = append(options, otlploghttp.WithHeaders(maps.Clone(t.cfg.Headers)))
	}
	return otlploghttp.New(ctx, options...)
}
