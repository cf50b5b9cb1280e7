package telemetry

import (
	"io"
	"log/slog"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Exporter names where a signal goes, as OTEL_TRACES_EXPORTER and its like do.
// Several are joined by commas.
type Exporter string

// The exporters.
const (
	// OTLP sends to a collector, over gRPC or HTTP. A program that is built with
	// -tags connectum_nootlp has no such exporter, and does not start with one.
	OTLP Exporter = "otlp"
	// Console writes JSON to [Config.Output].
	Console Exporter = "console"
	// Prometheus is for metrics alone: they are on the /metrics of
	// [Telemetry.Register], which is so in any case. It opens no port.
	Prometheus Exporter = "prometheus"
	// None switches the signal off.
	None Exporter = "none"
)

// Config configures [Start]. The zero value does what the environment says: each
// field that is set comes before the variable it names, which comes before the
// default. Variables of OpenTelemetry for which there is no field count as well.
type Config struct {
	// ServiceName names the service. The default is OTEL_SERVICE_NAME, then
	// service.name of OTEL_RESOURCE_ATTRIBUTES, then "unknown_service:" and the
	// name of the program.
	ServiceName string

	// ServiceVersion is the version of the service. The default is that of the
	// program's main module, where it has one.
	ServiceVersion string

	// Attributes describe the service besides; they come before those of
	// OTEL_RESOURCE_ATTRIBUTES.
	Attributes []attribute.KeyValue

	// Traces, Metrics and Logs say where each signal goes. The defaults are
	// OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER, then
	// OTLP when an endpoint is set, and else None. Metrics are on /metrics
	// whatever stands here, unless it is None.
	Traces, Metrics, Logs Exporter

	// Endpoint is the URL of the collector: "http://collector:4318". Over HTTP
	// the path of each signal (v1/traces) is appended. "http" is without TLS.
	// The default is OTEL_EXPORTER_OTLP_ENDPOINT, or that of the signal
	// (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT), then localhost.
	Endpoint string

	// Protocol is "grpc" or "http/protobuf". The default is
	// OTEL_EXPORTER_OTLP_PROTOCOL, or that of the signal, then "http/protobuf".
	Protocol string

	// Headers are sent to the collector. The default is
	// OTEL_EXPORTER_OTLP_HEADERS.
	Headers map[string]string

	// Output receives what Console writes. The default is [os.Stdout].
	Output io.Writer

	// Sampler decides which traces are recorded. The default is
	// OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG, then every trace whose
	// parent is sampled, or has none.
	Sampler sdktrace.Sampler

	// AttributesAtStart sets the attributes of a call when its span starts, for a
	// Sampler that decides by them. Without it they are set at once after that,
	// on spans that are recorded, which costs a call two allocations less; the
	// name, which is the procedure, and the kind are there in any case. The
	// default is false.
	AttributesAtStart bool

	// Propagator carries traces between processes. The default is
	// OTEL_PROPAGATORS of tracecontext, baggage and none, then W3C Trace
	// Context and Baggage.
	Propagator propagation.TextMapPropagator

	// LinkRemote begins a trace of its own for calls that come with one, and
	// links to theirs: for a server that strangers reach, who could else
	// decide what is sampled, and whose trace it is. Their baggage is ignored.
	// The default is false: callers are trusted, their traces go on.
	LinkRemote bool

	// MessageEvents adds an event for each message to the spans of calls, with
	// rpc.message.type, SENT or RECEIVED, and rpc.message.id, from 1. A span
	// keeps 128 (OTEL_SPAN_EVENT_COUNT_LIMIT). The default is none.
	MessageEvents bool

	// Filter leaves procedures without spans and metrics for which it returns
	// false. It is asked once for each. The default is all procedures.
	Filter func(spec connect.Spec) bool

	// KeepAttribute says which attributes the spans and metrics of calls have;
	// it is asked ahead of calls. connectum.door always stays. The default is
	// all.
	KeepAttribute func(key attribute.Key) bool

	// TracerProvider, MeterProvider and LoggerProvider stand in for those that
	// Start would make, together with their exporters and the Prometheus
	// exposition of a MeterProvider. Shutdown leaves them alone. The default is
	// none.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	LoggerProvider log.LoggerProvider

	// SetGlobal also sets the providers and the propagator of package otel, for
	// libraries that know no others. The default is false: two servers in one
	// process never disturb each other.
	SetGlobal bool

	// LogLevel is the lowest level that [Telemetry.LogHandler] passes on, until
	// [Telemetry.Level] says otherwise. The default is [slog.LevelInfo].
	LogLevel slog.Level

	// Logger is told of exports that fail, once a minute for each signal. The
	// default is [slog.Default], looked up for each line.
	Logger *slog.Logger
}
