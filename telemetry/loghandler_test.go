package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// The handler keeps the contract of slog, with spans and without.
func TestTheLogHandlerIsAHandler(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	text := new(strings.Builder)
	err := slogtest.TestHandler(rec.LogHandler(slog.NewJSONHandler(text, nil)), func() []map[string]any {
		var all []map[string]any
		for line := range strings.Lines(text.String()) {
			m := map[string]any{}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	})
	if err != nil {
		t.Error(err)
	}
}

// behaviour 131: every record has the ids of its span, at the top, whatever
// groups are open; OTLP gets severity, attributes and the same ids.
func TestRecordsHaveTheIDsOfTheirSpan(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{LogLevel: slog.LevelDebug})
	text := new(strings.Builder)
	log := slog.New(rec.LogHandler(slog.NewJSONHandler(text, nil)))
	ctx, span := rec.TracerProvider().Tracer("test").Start(t.Context(), "work")
	log.With("a", 1).WithGroup("g").With("b", 2).WarnContext(ctx, "grouped", "c", 3)
	log.DebugContext(ctx, "plain", "c", 3)
	log.Info("without")
	span.End()
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	ids := `"trace_id":"` + span.SpanContext().TraceID().String() + `","span_id":"` + span.SpanContext().SpanID().String() + `"`
	for i, want := range []string{
		`"msg":"grouped","a":1,` + ids + `,"g":{"b":2,"c":3}}`,
		`"msg":"plain","c":3,` + ids + `}`,
		`"msg":"without"}`,
	} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("got %s, want ...%s", lines[i], want)
		}
	}
	records := rec.Records()
	if len(records) != 3 {
		t.Fatalf("%v", records)
	}
	for i, want := range []telemetrytest.Record{
		{Body: "grouped", Severity: "WARN", TraceID: span.SpanContext().TraceID().String()},
		{Body: "plain", Severity: "DEBUG", TraceID: span.SpanContext().TraceID().String()},
		{Body: "without", Severity: "INFO"},
	} {
		if got := records[i]; got.Body != want.Body || got.Severity != want.Severity || got.TraceID != want.TraceID {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// What the server itself says of a call has the ids as well, though the span has
// ended by then.
func TestTheServersOwnLinesHaveTheIDs(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func() error{
		"call failed":      func() error { return errors.New("the database is gone") },
		"handler panicked": func() error { panic("out of memory") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.Start(t, telemetry.Config{})
			text := new(strings.Builder)
			srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rec.Server()},
				Logger: slog.New(rec.LogHandler(slog.NewTextHandler(text, nil)))})
			testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) { return nil, end() }}.Register(srv.RPC())
			client := connectumtest.Client(t, srv)
			if err := methods[0].call(t.Context(), client); connect.CodeOf(err) != connect.CodeInternal {
				t.Error(err)
			}
			span := rec.ServerSpan(t, echo)
			if line := text.String(); !strings.Contains(line, name) || !strings.Contains(line, "trace_id="+span.TraceID+" span_id="+span.SpanID) {
				t.Errorf("no ids of %s in %s", span.TraceID, line)
			}
		})
	}
}
