package telemetry

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// What strangers send is read as OpenTelemetry's own propagator reads it.
func FuzzCallerOf(f *testing.F) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, seed := range []string{
		good, "", "nonsense", good[:54], good + "-", good + "-more", good + "x", strings.ToUpper(good), "ff" + good[2:], "cc" + good[2:] + "-what-comes", "cc" + good[2:] + ".what",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", good[:53] + "03", good[:53] + "04", good[:53] + "0A", "0" + good,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
	} {
		f.Add(seed, "")
		f.Add(seed, "vendor=value,other=1")
		f.Add(seed, "=,=")
	}
	f.Fuzz(func(t *testing.T, parent, state string) {
		h := new(connect.Header)
		h.Set("Traceparent", parent)
		h.Set("Tracestate", state)
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), (*carrier)(h)))
		if got := callerOf(h); !got.Equal(want) {
			t.Errorf("%q, %q: %v, want %v", parent, state, got, want)
		}
	})
}

// The span of a caller is where package trace looks for it, also should the key
// not have been learned, and all else of the context stays.
func TestTheSpanOfACallerIsInTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	outer, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
	h := new(connect.Header)
	h.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	sc := callerOf(h)
	learned := newSpanKey()
	if learned.key == nil {
		t.Error("the key was not learned")
	}
	for _, k := range []spanKey{learned, {}} {
		ctx := k.with(outer, sc)
		span := trace.SpanFromContext(ctx)
		if !span.SpanContext().Equal(sc) || !span.SpanContext().IsRemote() || span.IsRecording() || ctx.Value(key{}) != "kept" {
			t.Errorf("%v: %v", k, span.SpanContext())
		}
		if inner := trace.ContextWithSpan(ctx, trace.SpanFromContext(t.Context())); trace.SpanContextFromContext(inner).IsValid() {
			t.Error("a span within is not found")
		}
		if ctx.Done() != outer.Done() {
			t.Error("the end of the context is another")
		}
	}
	cancel()
}
