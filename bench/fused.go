//go:build !only

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/validate"
)

// fusedLink is the experiment of docs/decisions/2026-11-29-fused-chain-tried.md: what
// telemetry, the log and errors do around a call, in one link that has one frame, one
// clock and one look at the call; validation has the one wrapper. What is no success
// it hands to the pieces: that is not what calls cost. It leaves out what the pieces
// have settings for, which is in its favour.
type fusedLink struct {
	tracer              trace.Tracer
	duration            metric.Float64Histogram
	request, response   metric.Int64Histogram
	requests, responses metric.Int64Histogram
	log                 *slog.Logger
	errors, validation  connectum.Interceptor
	epoch               time.Time
}

func newFused(tp trace.TracerProvider, mp metric.MeterProvider, log *slog.Logger) connectum.Interceptor {
	const scope = "github.com/connectum-go/connectum/telemetry"
	f := &fusedLink{log: log, epoch: time.Now(), tracer: tp.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		errors: interceptor.Errors(interceptor.ErrorsConfig{Logger: log}), validation: validate.New(validate.Config{})}
	meter := mp.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	var faults [5]error
	var duration rpcconv.ServerCallDuration
	duration, faults[0] = rpcconv.NewServerCallDuration(meter)
	f.duration = duration.Inst()
	histogram := func(name, unit, about string, buckets ...float64) (h metric.Int64Histogram) {
		h, err := meter.Int64Histogram("rpc.server."+name, metric.WithUnit(unit), metric.WithDescription(about), metric.WithExplicitBucketBoundaries(buckets...))
		faults[1] = errors.Join(faults[1], err)
		return h
	}
	sizes := []float64{0, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}
	counts := []float64{0, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000, 100_000}
	f.request = histogram("request.size", "By", "Bytes of the requests of a call, as they were on the wire.", sizes...)
	f.response = histogram("response.size", "By", "Bytes of the responses of a call, as they were on the wire.", sizes...)
	f.requests = histogram("requests_per_rpc", "{count}", "Requests of a stream.", counts...)
	f.responses = histogram("responses_per_rpc", "{count}", "Responses of a stream.", counts...)
	return connectum.Interceptor{Name: "fused", Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
		p := &fusedProcedure{fusedLink: f, method: strings.TrimPrefix(spec.Procedure, "/"), streams: spec.StreamType != connect.StreamTypeUnary}
		p.ways.Store(new([]*fusedWay))
		p.errors, faults[2] = f.errors.Bind(spec)
		p.validation, faults[3] = f.validation.Bind(spec)
		return p.bind, errors.Join(faults[:]...)
	}}
}

// fusedProcedure is what is settled for a procedure.
type fusedProcedure struct {
	*fusedLink
	method             string
	streams            bool
	errors, validation connect.ServerInterceptor // validation is nil without rules
	ways               atomic.Pointer[[]*fusedWay]
}

// fusedWay is what is settled for the calls of a procedure by a door and a protocol.
type fusedWay struct {
	protocol string
	door     connectum.Door
	start    []trace.SpanStartOption
	begin    []attribute.KeyValue // of a span that succeeds
	failed   [connect.CodeUnauthenticated + 1]bool
	ends     [connect.CodeUnauthenticated + 1][]attribute.KeyValue
	record   [connect.CodeUnauthenticated + 1][]metric.RecordOption
	sizes    []metric.RecordOption
	lines    *slog.Logger
}

func (p *fusedProcedure) by(spec connect.Spec, protocol string, door connectum.Door) *fusedWay {
	have := *p.ways.Load()
	for _, w := range have {
		if w.protocol == protocol && w.door == door {
			return w
		}
	}
	system, status := semconv.RPCSystemNameConnectrpc, func(c connect.Code) string { return c.String() }
	if strings.HasPrefix(protocol, "grpc") {
		system = semconv.RPCSystemNameGRPC
		status = func(c connect.Code) string {
			return strings.ToUpper(strings.Replace(c.String(), "canceled", "cancelled", 1))
		}
	}
	common := []attribute.KeyValue{system, semconv.RPCMethod(p.method), attribute.String("connectum.door", string(door))}
	option := func(attrs []attribute.KeyValue) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	}
	w := &fusedWay{protocol: protocol, door: door, start: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)},
		begin: common, sizes: option(common), lines: p.log.With("procedure", spec.Procedure, "door", string(door))}
	if protocol != "" {
		w.lines = w.lines.With("protocol", protocol)
	}
	for i := range w.record {
		var attrs []attribute.KeyValue
		code := connect.Code(i) //nolint:gosec // below 17
		switch {
		case code == 0 && system == semconv.RPCSystemNameGRPC:
			attrs = append(attrs, semconv.RPCResponseStatusCode("OK"))
			w.begin = append(common[:3:3], attrs...)
		case code != 0:
			attrs = append(attrs, semconv.RPCResponseStatusCode(status(code)))
		}
		switch code {
		case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeUnavailable, connect.CodeDataLoss:
			attrs = append(attrs, semconv.ErrorTypeKey.String(status(code)))
			w.failed[i] = true
		}
		w.ends[i], w.record[i] = attrs, option(append(common[:3:3], attrs...))
	}
	grown := append(have[:len(have):len(have)], w)
	p.ways.Store(&grown) // one of two at once is lost, and made again
	return w
}

func (p *fusedProcedure) bind(next connect.ServerFunc) connect.ServerFunc {
	if p.validation != nil {
		next = p.validation(next)
	}
	return func(outer context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		began := time.Since(p.epoch)
		info, _ := connect.CallInfoForServerContext(outer)
		w := p.by(spec, info.Protocol, connectum.DoorOf(outer))
		ctx := outer
		if h := info.RequestHeader(); h.Len() > 0 && h.Has("Traceparent") && !trace.SpanContextFromContext(ctx).IsValid() {
			ctx = propagation.TraceContext{}.Extract(ctx, headers{h})
		}
		ctx, span := p.tracer.Start(ctx, p.method, w.start...)
		recording := span.IsRecording()
		if recording {
			p.describe(span, w, info.PeerAddr)
		}
		connectum.LogWith(ctx)
		if p.streams || w.door == connectum.DoorInProcess {
			connectum.CountMessages(outer)
		}
		returned := false
		defer func() {
			if !returned {
				thrown := recover() // the link of errors knows what to make of it
				err = p.errors(func(context.Context, connect.Spec, connect.ServerStream) error { panic(thrown) })(ctx, spec, stream)
				p.finish(ctx, outer, w, span, recording, info, began, err)
			}
		}()
		if err = next(ctx, spec, stream); err != nil {
			err = p.failed(ctx, spec, stream, err)
		}
		returned = true
		p.finish(ctx, outer, w, span, recording, info, began, err)
		return err
	}
}

func (p *fusedProcedure) failed(ctx context.Context, spec connect.Spec, stream connect.ServerStream, err error) error {
	return p.errors(func(context.Context, connect.Spec, connect.ServerStream) error { return err })(ctx, spec, stream)
}

// describe is apart, and finish below, for the stack that they need: it would stay
// there below the handler.
//
//go:noinline
func (p *fusedProcedure) describe(span trace.Span, w *fusedWay, peer string) {
	var buffer [8]attribute.KeyValue
	attrs := append(buffer[:0], w.begin...)
	if host, port, err := net.SplitHostPort(peer); peer != "" && err == nil {
		n, _ := strconv.Atoi(port)
		attrs = append(attrs, semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(n))
	}
	span.SetAttributes(attrs...)
}

//go:noinline
func (p *fusedProcedure) finish(ctx, outer context.Context, w *fusedWay, span trace.Span, recording bool, info *connect.CallInfo, began time.Duration, err error) {
	now := time.Now()
	took := now.Sub(p.epoch) - began
	code := connectum.Outcome(outer, err)
	traffic, _ := connectum.TrafficOf(outer)
	p.line(ctx, now, took, w, info, traffic, code, err)
	bare := outer
	if !recording {
		bare = ctx
	}
	p.duration.Record(ctx, took.Seconds(), w.record[code]...)
	p.request.Record(bare, traffic.ReceivedBytes, w.sizes...)
	p.response.Record(bare, traffic.SentBytes, w.sizes...)
	if p.streams {
		p.requests.Record(bare, traffic.Received, w.sizes...)
		p.responses.Record(bare, traffic.Sent, w.sizes...)
	}
	if recording {
		if code != 0 {
			w.end(span, code, err)
		}
		span.End()
	}
}

// end is what telemetry says of a call that did not succeed.
func (w *fusedWay) end(span trace.Span, code connect.Code, err error) {
	if len(w.ends[code]) > 0 {
		span.SetAttributes(w.ends[code]...)
	}
	if !w.failed[code] {
		return
	}
	cause, text := err, err.Error()
	var id []attribute.KeyValue
	if f, ok := errors.AsType[*connectum.Failure](err); ok {
		cause, text, id = f.Err, f.Err.Error(), []attribute.KeyValue{attribute.String("connectum.error_id", f.ID)}
	} else if e, ok := errors.AsType[*connect.Error](err); ok && e.Unwrap() != nil {
		cause = e.Unwrap()
	}
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(append([]attribute.KeyValue{
		semconv.ExceptionType(fmt.Sprintf("%T", cause)), semconv.ExceptionMessage(cause.Error())}, id...)...))
	span.SetStatus(codes.Error, text)
}

// line is that of the access log.
func (p *fusedProcedure) line(ctx context.Context, now time.Time, took time.Duration, w *fusedWay, info *connect.CallInfo, traffic connectum.Traffic, code connect.Code, err error) {
	level := fusedLevels[code]
	if !w.lines.Enabled(ctx, level) {
		return
	}
	var attrs [9]slog.Attr
	attrs[0], attrs[1] = slog.String("code", "ok"), slog.Duration("duration", took)
	n := 2
	if code != 0 {
		attrs[0] = slog.String("code", code.String())
	}
	if info.PeerAddr != "" {
		attrs[n] = slog.String("peer", info.PeerAddr)
		n++
	}
	if w.door != connectum.DoorInProcess {
		attrs[n], attrs[n+1] = slog.Int64("received_bytes", traffic.ReceivedBytes), slog.Int64("sent_bytes", traffic.SentBytes)
		n += 2
	}
	if p.streams {
		attrs[n], attrs[n+1] = slog.Int64("received", traffic.Received), slog.Int64("sent", traffic.Sent)
		n += 2
	}
	if told, ok := errors.AsType[*connect.Error](err); ok {
		if f, ok := told.Unwrap().(*connectum.Failure); ok { //nolint:errorlint // as the one who masked it made it
			attrs[n] = slog.String("error_id", f.ID)
			n++
		}
		attrs[n] = slog.String("error", told.Message())
		n++
	}
	record := slog.NewRecord(now, level, "call", 0)
	record.AddAttrs(attrs[:n]...)
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	_ = w.lines.Handler().Handle(ctx, record)
}

// fusedLevels are those of the access log.
var fusedLevels = func() (levels [connect.CodeUnauthenticated + 1]slog.Level) {
	for i := range levels {
		switch connect.Code(i) { //nolint:gosec // below 17
		case 0, connect.CodeCanceled, connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodeUnauthenticated:
			levels[i] = slog.LevelInfo
		case connect.CodeUnknown, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeDataLoss:
			levels[i] = slog.LevelError
		default:
			levels[i] = slog.LevelWarn
		}
	}
	return levels
}()

// headers are a carrier for the propagator.
type headers struct{ *connect.Header }

func (headers) Keys() []string { return nil }
