package telemetrytest

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Span is a span that has ended, as plain data.
type Span struct {
	Name         string
	Kind         trace.SpanKind
	TraceID      string
	SpanID       string
	ParentID     string // "" for the first of a trace
	ParentRemote bool
	Attributes   map[string]string // values as text
	Events       []Event
	Links        []string // ids of the spans it is linked to
	Status       codes.Code
	Description  string
	Start, End   time.Time
	Recorded     sdktrace.ReadOnlySpan // everything else
}

// Event is an event of a [Span].
type Event struct {
	Name       string
	Attributes map[string]string
}

// Record is a record of the logs.
type Record struct {
	Body       string
	Severity   string
	TraceID    string
	SpanID     string
	Attributes map[string]string
}

// processor takes the spans.
type processor Recorder

func (p *processor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (p *processor) OnEnd(s sdktrace.ReadOnlySpan) {
	span := Span{
		Name: s.Name(), Kind: s.SpanKind(),
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
		ParentRemote: s.Parent().IsRemote(), Attributes: texts(s.Attributes()),
		Status: s.Status().Code, Description: s.Status().Description,
		Start: s.StartTime(), End: s.EndTime(), Recorded: s,
	}
	if s.Parent().SpanID().IsValid() {
		span.ParentID = s.Parent().SpanID().String()
	}
	for _, e := range s.Events() {
		span.Events = append(span.Events, Event{e.Name, texts(e.Attributes)})
	}
	for _, l := range s.Links() {
		span.Links = append(span.Links, l.SpanContext.SpanID().String())
	}
	r := (*Recorder)(p)
	r.add(func() { r.spans = append(r.spans, span) })
}

func (p *processor) Shutdown(context.Context) error   { return nil }
func (p *processor) ForceFlush(context.Context) error { return nil }

func texts(attrs []attribute.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attrs {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

// logProcessor takes the records.
type logProcessor Recorder

func (p *logProcessor) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (p *logProcessor) OnEmit(_ context.Context, record *sdklog.Record) error {
	body := record.Body()
	kept := Record{Body: body.String(), Severity: record.Severity().String(), Attributes: map[string]string{}}
	if record.TraceID().IsValid() {
		kept.TraceID, kept.SpanID = record.TraceID().String(), record.SpanID().String()
	}
	record.WalkAttributes(func(a attribute.KeyValue) bool {
		kept.Attributes[string(a.Key)] = a.Value.String()
		return true
	})
	r := (*Recorder)(p)
	r.add(func() { r.records = append(r.records, kept) })
	return nil
}

func (p *logProcessor) Shutdown(context.Context) error   { return nil }
func (p *logProcessor) ForceFlush(context.Context) error { return nil }
