package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Client returns the interceptor that records the calls of a client and tells
// its servers the trace, for remote and in-process transports alike. Its spans
// and histograms are those of [Telemetry.Server] with "client" in their names,
// by server.address and server.port of the transport instead of the door. A
// call counts once, however many attempts it takes, when the interceptor is
// outside of the retries: see interceptor.ClientConfig. What a stream is charged
// with ends with its last message, its error, Close, or the end of its context,
// whichever is first.
func (t *Telemetry) Client() connect.ClientInterceptor {
	c := &clients{t: t}
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			p := c.of(spec)
			if p == nil {
				return next(ctx, spec)
			}
			return p.call(ctx, spec, next)
		}
	}
}

// clients has the procedures of one client, as they are first called.
type clients struct {
	t     *Telemetry
	known sync.Map // procedure → *procedure; nil: left out
	count atomic.Int64
}

// mostProcedures is how many procedures of a client have labels of their own: a
// proxy may be made to call what does not exist.
const mostProcedures = 1000

func (c *clients) of(spec connect.Spec) *procedure {
	if p, ok := c.known.Load(spec.Procedure); ok {
		return p.(*procedure)
	}
	method, key := strings.TrimPrefix(spec.Procedure, "/"), spec.Procedure
	if c.count.Load() >= mostProcedures {
		method, key = other, other+spec.StreamType.String()
		if p, ok := c.known.Load(key); ok {
			return p.(*procedure)
		}
	}
	p := c.prepare(spec, method)
	kept, loaded := c.known.LoadOrStore(key, p)
	if !loaded {
		c.count.Add(1)
	}
	return kept.(*procedure)
}

func (c *clients) prepare(spec connect.Spec, method string) *procedure {
	t := c.t
	measured := t.metrics || t.meterProvider != nil && t.scraped.Load()
	if t.tracer == nil && !measured || t.cfg.Filter != nil && !t.cfg.Filter(spec) {
		return nil
	}
	var in *instruments
	if measured {
		var err error
		if _, in, err = t.sides(); err != nil {
			t.log().Error("telemetry: clients are not measured", "error", err)
		}
	}
	p := t.newProcedure(spec, method, trace.SpanKindClient, in)
	p.open = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	if t.early && (t.cfg.KeepAttribute == nil || t.cfg.KeepAttribute(semconv.RPCMethodKey)) {
		p.open = append(p.open, trace.WithAttributes(semconv.RPCMethod(method)))
	}
	return p
}

func (p *procedure) call(ctx context.Context, spec connect.Spec, next connect.ClientFunc) (connect.ClientStream, error) {
	info, ok := connect.CallInfoForClientContext(ctx)
	if !ok {
		ctx, info = connect.NewClientContext(ctx)
	}
	s := &clientStream{p: p, info: info, began: time.Now(), single: spec.StreamType&connect.StreamTypeServer == 0, unary: !p.streams}
	given := ctx
	if p.t.tracer != nil {
		ctx, s.span = p.t.tracer.Start(ctx, p.method, p.open...)
		if p.t.cfg.MessageEvents && s.span.IsRecording() {
			s.tally.span = s.span
		}
	}
	s.ctx = ctx
	p.t.propagator.Inject(ctx, (*carrier)(info.RequestHeader()))
	stream, err := next(ctx, spec)
	if err != nil {
		s.identify()
		s.end(err, true)
		return nil, err
	}
	s.ClientStream = stream
	s.wire = info.Protocol != ""
	if s.wire || p.streams {
		s.identify()
	}
	if p.streams && given.Done() != nil {
		s.release = context.AfterFunc(given, func() { s.end(context.Cause(given), false) })
	}
	return s, nil
}

// clientStream sees a call of a client, from one side or both at a time.
type clientStream struct {
	connect.ClientStream
	tally
	p       *procedure
	ctx     context.Context //nolint:containedctx // the stream is the call's
	info    *connect.CallInfo
	variant *variant // once the protocol is known
	span    trace.Span
	began   time.Time
	single  bool // there is one answer
	unary   bool
	wire    bool // the transport has encoded messages
	eof     atomic.Bool
	done    atomic.Bool
	release func() bool // of the wait for the context
}

// identify finds what is prepared for the way of the call, when it is known.
func (s *clientStream) identify() {
	s.variant = s.p.by(way{protocol: s.info.Protocol, address: s.info.PeerAddr})
	if s.span == nil || !s.span.IsRecording() {
		return
	}
	if attrs := s.variant.attributes; len(attrs) > 0 {
		s.span.SetAttributes(attrs...)
	}
}

func (s *clientStream) Send(msg any) error {
	n := 0
	if !s.wire {
		n = size(msg) // before it is handed over
	}
	err := s.ClientStream.Send(msg)
	switch {
	case err == nil:
		if s.wire {
			n = s.bytes(s.info.SendStats)
		}
		s.send(msg, n)
	case errors.Is(err, io.EOF):
		s.eof.Store(true) // Receive tells why
	default:
		s.end(err, true)
	}
	return err
}

func (s *clientStream) Receive(msg any) error {
	err := s.ClientStream.Receive(msg)
	switch {
	case err == nil:
		n := 0
		if s.wire {
			n = s.bytes(s.info.ReceiveStats)
		} else {
			n = size(msg)
		}
		s.receive(msg, n)
		if s.single {
			s.end(nil, true)
		}
	case errors.Is(err, io.EOF):
		s.end(nil, true)
	default:
		s.end(err, true)
	}
	return err
}

func (s *clientStream) Close() error {
	err := s.ClientStream.Close()
	why := err
	if why == nil {
		why = errAbandoned
		if s.eof.Load() {
			why = errBroken
		}
	}
	s.end(why, true)
	return err
}

var (
	errAbandoned = connect.NewError(connect.CodeCanceled, "closed before its end")
	errBroken    = connect.NewError(connect.CodeUnknown, "ended by the server, which was not asked why")
)

// bytes is what a message took on the wire.
func (s *clientStream) bytes(stats connect.MessageStats) int {
	const envelope = 5 // flags and length
	n := stats.Size
	if stats.CompressedSize > 0 {
		n = stats.CompressedSize
	}
	if s.info.Protocol != connect.ProtocolNameConnect || !s.unary {
		n += envelope
	}
	return n
}

// end records the call, once. own says that the caller of it uses the stream.
func (s *clientStream) end(err error, own bool) {
	if !s.done.CompareAndSwap(false, true) {
		return
	}
	if own && s.release != nil {
		s.release()
	}
	if s.variant == nil { // attempts were made behind the stream
		s.identify()
		if s.info.Protocol != "" && err == nil {
			s.sentBytes.Store(int64(s.bytes(s.info.SendStats)))
			s.receivedBytes.Store(int64(s.bytes(s.info.ReceiveStats)))
		}
	}
	code := codeOf(err)
	if in := s.p.instruments; in != nil {
		in.duration.Record(s.ctx, time.Since(s.began).Seconds(), s.variant.outcomes[code].record...)
		in.request.Record(s.ctx, s.sentBytes.Load(), s.variant.sizes...)
		in.response.Record(s.ctx, s.receivedBytes.Load(), s.variant.sizes...)
		if s.p.streams {
			in.requests.Record(s.ctx, s.sent.Load(), s.variant.sizes...)
			in.responses.Record(s.ctx, s.received.Load(), s.variant.sizes...)
		}
	}
	if s.span != nil {
		s.variant.end(s.span, code, err)
		s.span.End()
	}
}

// codeOf is the code that a caller makes of an error; 0 is none.
func codeOf(err error) connect.Code {
	e, ok := errors.AsType[*connect.Error](err)
	switch {
	case err == nil:
		return 0
	case ok && e.Code() > 0 && e.Code() <= connect.CodeUnauthenticated:
		return e.Code()
	case errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled
	}
	return connect.CodeUnknown
}

// addressOf are the attributes of the server that a transport has been made for.
func addressOf(addr string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(addr)}
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attrs
}
