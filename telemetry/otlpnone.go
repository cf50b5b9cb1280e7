//go:build connectum_nootlp

package telemetry

import (
	"context"
	"errors"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// errNoOTLP is why a program that was built without OTLP does not start when it
// is told to use it.
var errNoOTLP = errors.New("the program is built with -tags connectum_nootlp, which leaves OTLP out")

func (t *Telemetry) otlpTraces(context.Context, settings) (sdktrace.SpanExporter, error) {
	return nil, errNoOTLP
}

func (t *Telemetry) otlpMetrics(context.Context, settings) (sdkmetric.Exporter, error) {
	return nil, errNoOTLP
}

func (t *Telemetry) otlpLogs(context.Context, settings) (sdklog.Exporter, error) {
	return nil, errNoOTLP
}
