//go:build !connectum_nootlp

package telemetry

import (
	"context"
	"maps"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// endpoint is the URL of a signal over HTTP, from the one of all.
func (t *Telemetry) endpoint(s signal) string {
	return strings.TrimRight(strings.TrimSpace(t.cfg.Endpoint), "/") + "/v1/" + s.String()
}

// collector is where an exporter sends to and the headers it sends, as far as cfg
// says; the rest is the environment's. Each exporter has options of its own type.
func collector[O any](cfg Config, url string, withURL func(string) O, withHeaders func(map[string]string) O) (options []O) {
	if cfg.Endpoint != "" {
		options = append(options, withURL(strings.TrimSpace(url)))
	}
	if len(cfg.Headers) > 0 {
		options = append(options, withHeaders(maps.Clone(cfg.Headers)))
	}
	return options
}

func (t *Telemetry) otlpTraces(ctx context.Context, s settings) (sdktrace.SpanExporter, error) {
	if s.protocol[traces] == "grpc" {
		return otlptracegrpc.New(ctx, collector(t.cfg, t.cfg.Endpoint, otlptracegrpc.WithEndpointURL, otlptracegrpc.WithHeaders)...)
	}
	client, err := t.httpClient(traces, s.env)
	if err != nil {
		return nil, err
	}
	options := collector(t.cfg, t.endpoint(traces), otlptracehttp.WithEndpointURL, otlptracehttp.WithHeaders)
	return otlptracehttp.New(ctx, append(options, otlptracehttp.WithHTTPClient(client))...)
}

func (t *Telemetry) otlpMetrics(ctx context.Context, s settings) (sdkmetric.Exporter, error) {
	if s.protocol[metrics] == "grpc" {
		return otlpmetricgrpc.New(ctx, collector(t.cfg, t.cfg.Endpoint, otlpmetricgrpc.WithEndpointURL, otlpmetricgrpc.WithHeaders)...)
	}
	client, err := t.httpClient(metrics, s.env)
	if err != nil {
		return nil, err
	}
	options := collector(t.cfg, t.endpoint(metrics), otlpmetrichttp.WithEndpointURL, otlpmetrichttp.WithHeaders)
	return otlpmetrichttp.New(ctx, append(options, otlpmetrichttp.WithHTTPClient(client))...)
}

func (t *Telemetry) otlpLogs(ctx context.Context, s settings) (sdklog.Exporter, error) {
	if s.protocol[logs] == "grpc" {
		return otlploggrpc.New(ctx, collector(t.cfg, t.cfg.Endpoint, otlploggrpc.WithEndpointURL, otlploggrpc.WithHeaders)...)
	}
	client, err := t.httpClient(logs, s.env)
	if err != nil {
		return nil, err
	}
	options := collector(t.cfg, t.endpoint(logs), otlploghttp.WithEndpointURL, otlploghttp.WithHeaders)
	return otlploghttp.New(ctx, append(options, otlploghttp.WithHTTPClient(client))...)
}
