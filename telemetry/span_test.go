package telemetry_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// behaviour 132: a span within the call's, its error, its panic, its attributes.
func TestAnInnerSpan(t *testing.T) {
	t.Parallel()
	fault := errors.New("no such row")
	for name, c := range map[string]struct {
		f      func(context.Context) error
		failed bool
		event  string
	}{
		"success": {f: func(context.Context) error { return nil }},
		"error":   {f: func(context.Context) error { return fault }, failed: true, event: "no such row"},
		"panic":   {f: func(context.Context) error { panic("gone") }, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.Start(t, telemetry.Config{})
			srv := serve(testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				err := telemetry.Span(ctx, "load", c.f, attribute.Int("rows", 7))
				if name == "error" && !errors.Is(err, fault) {
					t.Errorf("got %v", err)
				}
				return &testv1.EchoResponse{}, err
			}}, rec.Server())
			_ = methods[0].call(t.Context(), connectumtest.Client(t, srv))
			outer, inner := rec.ServerSpan(t, echo), rec.InnerSpan(t, "load")
			if inner.ParentID != outer.SpanID || inner.Attributes["rows"] != "7" || (inner.Status == codes.Error) != c.failed {
				t.Errorf("%+v", inner)
			}
			if c.event != "" && (len(inner.Events) != 1 || inner.Events[0].Attributes["exception.message"] != c.event) {
				t.Errorf("events %v", inner.Events)
			}
		})
	}
}

func TestAnInnerSpanWithoutACallIsNone(t *testing.T) {
	t.Parallel()
	ran := false
	if err := telemetry.Span(t.Context(), "load", func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("ran %v, %v", ran, err)
	}
}
