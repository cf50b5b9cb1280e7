package telemetry

import (
	"context"
	"encoding/hex"
	"strings"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// inbound puts into ctx what the caller sent of its trace, unless ctx has one
// already: that of an in-process caller, or of a middleware. With LinkRemote the
// caller's span is returned instead, and its baggage ignored.
func (t *Telemetry) inbound(ctx context.Context, h *connect.Header) (context.Context, trace.SpanContext) {
	if h.Len() == 0 || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, trace.SpanContext{}
	}
	if !t.w3c.known {
		if !t.cfg.LinkRemote {
			return t.propagator.Extract(ctx, (*carrier)(h)), trace.SpanContext{}
		}
		return ctx, trace.SpanContextFromContext(t.propagator.Extract(context.Background(), (*carrier)(h)))
	}
	var sc trace.SpanContext
	if t.w3c.traceContext {
		sc = callerOf(h)
	}
	if t.cfg.LinkRemote {
		return ctx, sc
	}
	if sc.IsValid() {
		ctx = t.spanKey.with(ctx, sc)
	}
	if t.w3c.baggage {
		// The propagator would tell a handler that is global of a stranger's mistakes.
		if list := h.Values("Baggage"); len(list) > 0 {
			if b, _ := baggage.Parse(strings.Join(list, ",")); b.Len() > 0 {
				ctx = baggage.ContextWithBaggage(ctx, b)
			}
		}
	}
	return ctx, trace.SpanContext{}
}

// w3c says which of the propagators of W3C there are, when there are no others.
type w3c struct{ known, traceContext, baggage bool }

// callerOf reads the span of a caller (W3C Trace Context section 3.2). It decides
// as propagation.TraceContext does, which can't be asked without a context for
// the answer.
func callerOf(h *connect.Header) trace.SpanContext {
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	s := h.Get("Traceparent")
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return trace.SpanContext{}
	}
	version, ok1 := hexByte(s[:2])
	traceID, err1 := trace.TraceIDFromHex(s[3:35])
	spanID, err2 := trace.SpanIDFromHex(s[36:52])
	flags, ok2 := hexByte(s[53:size])
	rest := s[size:]
	switch {
	case !ok1 || !ok2 || err1 != nil || err2 != nil, version == 0xff, rest != "" && rest[0] != '-':
		return trace.SpanContext{}
	case version == 0 && (len(rest) > 1 || flags > 3): // what later versions add
		return trace.SpanContext{}
	}
	// A trace goes on whatever its state is.
	state, _ := trace.ParseTraceState(h.Get("Tracestate"))
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, Remote: true, TraceState: state,
		TraceFlags: trace.TraceFlags(flags) & (trace.FlagsSampled | trace.FlagsRandom)})
}

func hexByte(s string) (byte, bool) {
	var b [1]byte
	for i := range s {
		if s[i] >= 'A' && s[i] <= 'F' {
			return 0, false
		}
	}
	_, err := hex.Decode(b[:], []byte(s))
	return b[0], err == nil
}

// spanKey is what package trace looks a span up with. It is learned, as it is
// not exported, to make a context and the span in it with one allocation.
type spanKey struct{ key any }

func newSpanKey() spanKey {
	p := &probe{Context: context.Background()}
	_ = trace.SpanFromContext(p)
	return spanKey{p.asked}
}

type probe struct {
	context.Context //nolint:containedctx // it is one
	asked           any
}

func (p *probe) Value(key any) any {
	p.asked = key
	return nil
}

// with returns ctx with the span of a caller.
func (k spanKey) with(ctx context.Context, sc trace.SpanContext) context.Context {
	if k.key == nil {
		return trace.ContextWithRemoteSpanContext(ctx, sc)
	}
	return &remoteContext{Context: ctx, key: k.key, caller: sc}
}

// remoteContext is a context, and the span of a caller in it.
type remoteContext struct {
	context.Context //nolint:containedctx // it is one
	noop.Span
	key    any
	caller trace.SpanContext
}

func (c *remoteContext) SpanContext() trace.SpanContext { return c.caller }

func (c *remoteContext) Value(key any) any {
	if key == c.key {
		return c
	}
	return c.Context.Value(key)
}
