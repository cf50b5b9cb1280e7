package telemetry

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
)

// Server returns the interceptor that records the calls of a server: a span for
// each, and these histograms, by rpc.system.name, rpc.method and connectum.door:
//
//	rpc.server.call.duration      seconds; also by rpc.response.status_code and error.type
//	rpc.server.request.size       bytes on the wire, see [connectum.TrafficOf]
//	rpc.server.response.size
//	rpc.server.requests_per_rpc   messages, of streams
//	rpc.server.responses_per_rpc
//
// In-process calls have no wire: their sizes are those of the messages in
// protobuf. A stream is one call, from its first byte to its last: an error after
// a thousand messages counts as one that failed. Calls that the server refuses
// before the chain are counted by connectum_calls_refused_total alone.
//
// It belongs outermost, see interceptor.Config. Where there is nothing to record
// it is not in the chain at all.
func (t *Telemetry) Server() connectum.Interceptor {
	return connectum.Interceptor{Name: "telemetry", Bind: t.bind}
}

func (t *Telemetry) bind(spec connect.Spec) (connect.ServerInterceptor, error) {
	measured := t.metrics || t.meterProvider != nil && t.scraped.Load()
	if t.tracer == nil && !measured || t.cfg.Filter != nil && !t.cfg.Filter(spec) {
		return nil, nil
	}
	var in *instruments
	if measured {
		var err error
		if in, _, err = t.sides(); err != nil {
			return nil, err
		}
	}
	method := strings.TrimPrefix(spec.Procedure, "/")
	if method == "-/-" { // the fallback for unknown procedures, see connect.Server.SetUnknownHandler
		method = other
	}
	p := t.newProcedure(spec, method, trace.SpanKindServer, in)
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			return p.serve(ctx, spec, stream, next)
		}
	}, nil
}

func (p *procedure) serve(ctx context.Context, spec connect.Spec, stream connect.ServerStream, next connect.ServerFunc) error {
	began := time.Since(p.t.started)
	info, _ := connect.CallInfoForServerContext(ctx)
	door := connectum.DoorOf(ctx)
	v := p.by(way{protocol: info.Protocol, door: door})
	outer, bare := ctx, ctx
	ctx, remote := p.t.inbound(ctx, info.RequestHeader())
	var span trace.Span
	if p.t.tracer != nil {
		ctx, span = p.begin(ctx, v, remote)
		if !span.SpanContext().IsSampled() {
			bare = ctx
		}
		if span.IsRecording() {
			p.describe(span, v, info.PeerAddr, spec)
		} else {
			span = nil
		}
	}
	if ctx != outer {
		connectum.LogWith(ctx)
	}
	_, counted := connectum.TrafficOf(outer)
	if p.streams || !counted {
		counted = connectum.CountMessages(outer)
	}
	var seen *serverStream
	if !counted || p.t.cfg.MessageEvents {
		seen = &serverStream{ServerStream: stream, tally: tally{measure: !counted}}
		if p.t.cfg.MessageEvents {
			seen.span = span
		}
		stream = seen
	}
	returned := false
	defer func() {
		if !returned { // a panic, which goes on: the server turns it into an error
			p.finish(ctx, outer, bare, v, span, seen, began, connect.CodeInternal, errPanic)
		}
	}()
	err := next(ctx, spec, stream)
	returned = true
	p.finish(ctx, outer, bare, v, span, seen, began, connectum.Outcome(outer, err), err)
	return err
}

// begin starts the span of a call.
func (p *procedure) begin(ctx context.Context, v *variant, remote trace.SpanContext) (context.Context, trace.Span) {
	if !remote.IsValid() {
		return p.t.tracer.Start(ctx, v.name, v.start...)
	}
	options := append(v.start[:len(v.start):len(v.start)], trace.WithNewRoot(),
		trace.WithLinks(trace.Link{SpanContext: remote}))
	return p.t.tracer.Start(ctx, v.name, options...)
}

// scratch holds attributes on their way to a span, which copies them.
var scratch = sync.Pool{New: func() any { return new([8]attribute.KeyValue) }}

// describe sets the attributes that a span begins with, all at once. Those of a
// call that succeeds are among them.
func (p *procedure) describe(span trace.Span, v *variant, peer string, spec connect.Spec) {
	buffer := scratch.Get().(*[8]attribute.KeyValue)
	attrs := append(buffer[:0], v.begin...)
	keep := p.t.cfg.KeepAttribute
	if peer == "" { // whose error would be an allocation
	} else if host, port, err := net.SplitHostPort(peer); err == nil {
		if keep == nil || keep(semconv.NetworkPeerAddressKey) {
			attrs = append(attrs, semconv.NetworkPeerAddressKey.String(host))
		}
		if n, err := strconv.Atoi(port); err == nil && (keep == nil || keep(semconv.NetworkPeerPortKey)) {
			attrs = append(attrs, semconv.NetworkPeerPortKey.Int(n))
		}
	}
	if p.method == other && (keep == nil || keep(semconv.RPCMethodOriginalKey)) {
		attrs = append(attrs, semconv.RPCMethodOriginal(clip(strings.TrimPrefix(spec.Procedure, "/"))))
	}
	if len(attrs) > 0 {
		span.SetAttributes(attrs...)
	}
	clear(buffer[:])
	scratch.Put(buffer)
}

// finish records the end of a call. Durations have exemplars; sizes and counts,
// which are recorded outside of the span, have none, as these cost as much as all
// the rest of a measurement. Where the span has no part in them either, bare is
// ctx: it is found there at once, when it is looked for.
func (p *procedure) finish(ctx, outer, bare context.Context, v *variant, span trace.Span, seen *serverStream, began time.Duration, code connect.Code, err error) {
	if code > connect.CodeUnauthenticated {
		code = connect.CodeInternal
	}
	if p.instruments != nil {
		o := &v.outcomes[code]
		p.instruments.duration.Record(ctx, (time.Since(p.t.started) - began).Seconds(), o.record...)
		traffic, ok := connectum.TrafficOf(outer)
		if !ok {
			traffic = seen.traffic()
		}
		p.instruments.request.Record(bare, traffic.ReceivedBytes, v.sizes...)
		p.instruments.response.Record(bare, traffic.SentBytes, v.sizes...)
		if p.streams {
			p.instruments.requests.Record(bare, traffic.Received, v.sizes...)
			p.instruments.responses.Record(bare, traffic.Sent, v.sizes...)
		}
	}
	if span != nil {
		if code != 0 {
			v.end(span, code, err)
		}
		span.End()
	}
}
