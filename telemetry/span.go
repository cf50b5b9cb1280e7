package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Span runs f inside a span within the one of ctx, and returns the error of f,
// which is recorded; so is that f panicked, and the panic goes on. Without a span
// in ctx it runs f alone. The name is of few: what differs from call to call
// belongs into attrs.
//
//	err := telemetry.Span(ctx, "load order", func(ctx context.Context) error {
//		return db.Load(ctx, id)
//	})
func Span(ctx context.Context, name string, f func(ctx context.Context) error, attrs ...attribute.KeyValue) error {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return f(ctx)
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(attrs...))
	returned := false
	defer func() {
		if !returned {
			span.SetStatus(codes.Error, errPanic.Error())
		}
		span.End()
	}()
	err := f(ctx)
	returned = true
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, explain(span, err))
	}
	return err
}
