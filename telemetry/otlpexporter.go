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

func (t *Telemetry) otlpTraces(ctx context.Context, s settings) (sdktrace.SpanExporter, error) {
	if s.protocol[traces] == "grpc" {
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

func (t *Telemetry) otlpMetrics(ctx context.Context, s settings) (sdkmetric.Exporter, error) {
	if s.protocol[metrics] == "grpc" {
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

func (t *Telemetry) otlpLogs(ctx context.Context, s settings) (sdklog.Exporter, error) {
	if s.protocol[logs] == "grpc" {
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
