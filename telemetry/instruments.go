package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
)

// instruments are those of one side. The conventions name the duration; sizes
// and counts of messages, which version 1.40 took out without a replacement,
// keep the names they had.
type instruments struct {
	duration            metric.Float64Histogram
	request, response   metric.Int64Histogram // bytes of a call
	requests, responses metric.Int64Histogram // messages of a stream
}

var (
	sizeBuckets  = metric.WithExplicitBucketBoundaries(0, 64, 256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20, 16<<20)
	countBuckets = metric.WithExplicitBucketBoundaries(0, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000, 100_000)
)

// sides returns the instruments of servers and clients, made once.
func (t *Telemetry) sides() (server, client *instruments, err error) {
	i := &t.instruments
	i.once.Do(func() {
		meter := t.MeterProvider().Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
		durations, err1 := rpcconv.NewServerCallDuration(meter)
		calls, err2 := rpcconv.NewClientCallDuration(meter)
		var err3, err4 error
		i.server, err3 = newInstruments(meter, "rpc.server.", durations.Inst())
		i.client, err4 = newInstruments(meter, "rpc.client.", calls.Inst())
		i.err = errors.Join(err1, err2, err3, err4)
	})
	return i.server, i.client, i.err
}

func newInstruments(meter metric.Meter, prefix string, duration metric.Float64Histogram) (*instruments, error) {
	in := &instruments{duration: duration}
	var faults []error
	histogram := func(name, unit, about string, buckets metric.HistogramOption) metric.Int64Histogram {
		h, err := meter.Int64Histogram(prefix+name, metric.WithUnit(unit), metric.WithDescription(about), buckets)
		faults = append(faults, err)
		return h
	}
	in.request = histogram("request.size", "By", "Bytes of the requests of a call, as they were on the wire.", sizeBuckets)
	in.response = histogram("response.size", "By", "Bytes of the responses of a call, as they were on the wire.", sizeBuckets)
	in.requests = histogram("requests_per_rpc", "{count}", "Requests of a stream.", countBuckets)
	in.responses = histogram("responses_per_rpc", "{count}", "Responses of a stream.", countBuckets)
	return in, errors.Join(faults...)
}
