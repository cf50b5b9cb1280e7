package telemetry_test

import (
	"context"
	"io"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum/telemetry"
)

// BenchmarkServer is what a unary gRPC call of a peer costs, beyond the call, and
// what of that is the SDK's: the same span with the same six attributes and the
// same three measurements, by code that does nothing else.
func BenchmarkServer(b *testing.B) {
	const procedure = servicePath + "Echo"
	providers := func(b *testing.B, ratio float64) (trace.TracerProvider, metric.MeterProvider) {
		tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))), sdktrace.WithBatcher(sink{}))
		b.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
		return tp, sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	}
	run := func(b *testing.B, link connect.ServerInterceptor, parent string) {
		server := connect.NewServer()
		if link != nil {
			server = connect.NewServer(link)
		}
		spec := connect.Spec{Procedure: procedure}
		server.Register(connect.Method{Spec: spec, Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil }})
		info := &connect.CallInfo{Spec: spec, PeerAddr: "10.0.0.7:51234", Protocol: connect.ProtocolNameGRPC}
		info.RequestHeader().Set("User-Agent", "grpc-go/1.83.2")
		if parent != "" {
			info.RequestHeader().Set("Traceparent", parent)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := server.Call(context.Background(), procedure, info, void{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("bare", func(b *testing.B) { run(b, nil, "") })
	for _, c := range []struct {
		name   string
		ratio  float64
		parent string
	}{{"sampled", 1, ""}, {"1%", 0.01, ""}, {"sampled remote parent", 0, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}} {
		b.Run(c.name+"/telemetry", func(b *testing.B) {
			tp, mp := providers(b, c.ratio)
			tel, err := telemetry.Start(b.Context(), telemetry.Config{TracerProvider: tp, MeterProvider: mp})
			if err != nil {
				b.Fatal(err)
			}
			link, err := tel.Server().Bind(connect.Spec{Procedure: procedure})
			if err != nil {
				b.Fatal(err)
			}
			run(b, link, c.parent)
		})
		if c.parent != "" {
			continue
		}
		b.Run(c.name+"/SDK alone", func(b *testing.B) {
			tp, mp := providers(b, c.ratio)
			run(b, alone(b, tp, mp, true, true), "")
		})
		b.Run(c.name+"/SDK alone, span", func(b *testing.B) {
			tp, mp := providers(b, c.ratio)
			run(b, alone(b, tp, mp, true, false), "")
		})
		b.Run(c.name+"/SDK alone, records", func(b *testing.B) {
			tp, mp := providers(b, c.ratio)
			run(b, alone(b, tp, mp, false, true), "")
		})
	}
}

// alone is the least that can be done with the SDK for the same record.
func alone(b *testing.B, tp trace.TracerProvider, mp metric.MeterProvider, spans, records bool) connect.ServerInterceptor {
	b.Helper()
	tracer, meter := tp.Tracer("bench"), mp.Meter("bench")
	duration, err := meter.Float64Histogram("duration")
	if err != nil {
		b.Fatal(err)
	}
	size, err := meter.Int64Histogram("size")
	if err != nil {
		b.Fatal(err)
	}
	attrs := []attribute.KeyValue{attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", "connectum.test.v1.TestService/Echo"),
		attribute.String("connectum.door", "http"), attribute.String("rpc.response.status_code", "OK")}
	own := append(attrs[:4:4], attribute.String("network.peer.address", "10.0.0.7"), attribute.Int("network.peer.port", 51234))
	set := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	kind := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(outer context.Context, spec connect.Spec, stream connect.ServerStream) error {
			ctx, began := outer, time.Now()
			var span trace.Span
			if spans {
				ctx, span = tracer.Start(outer, "connectum.test.v1.TestService/Echo", kind...)
				if span.IsRecording() {
					span.SetAttributes(own...)
				}
			}
			err := next(ctx, spec, stream)
			if records {
				duration.Record(ctx, time.Since(began).Seconds(), set...)
				size.Record(outer, 1, set...)
				size.Record(outer, 1, set...)
			}
			if spans {
				span.End()
			}
			return err
		}
	}
}

// void is a stream without messages.
type void struct{}

func (void) Receive(any) error  { return io.EOF }
func (void) SendHeaders() error { return nil }
func (void) Send(any) error     { return nil }
