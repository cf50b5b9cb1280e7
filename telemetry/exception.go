package telemetry

import (
	"errors"
	"fmt"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
)

// explain adds the reason of a failure to the span of its call, as the log has
// it: spans are for operators, and name what the client was not told. It
// returns the text.
func explain(span trace.Span, err error) string {
	cause, id := err, ""
	if f, ok := errors.AsType[*connectum.Failure](err); ok {
		cause, id = f.Err, f.ID
	} else if e, ok := errors.AsType[*connect.Error](err); ok && e.Unwrap() != nil {
		cause = e.Unwrap()
	}
	text := clip(message(err))
	attrs := []attribute.KeyValue{semconv.ExceptionType(typeName(cause)), semconv.ExceptionMessage(clip(message(cause)))}
	if id != "" {
		text = clip(message(cause))
		attrs = append(attrs, attribute.String("connectum.error_id", id))
	}
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(attrs...))
	return text
}

// message survives an Error that panics.
func message(err error) string { return fmt.Sprint(err) }

// typeName is the Go type of an error, without the wrapping of package fmt.
func typeName(err error) string {
	for {
		name := fmt.Sprintf("%T", err)
		inner := errors.Unwrap(err)
		if name != "*fmt.wrapError" || inner == nil {
			return name
		}
		err = inner
	}
}
