//go:build !only && unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/connectum-go/connectum"
	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/telemetry"
)

// The experiment is worth its figures only where it does the same: the errors of
// clients, the lines of the log, the spans and the measurements, by every door.
func TestTheFusedLinkDoesWhatThePiecesDo(t *testing.T) {
	t.Parallel()
	var got [2][]string
	for i, name := range []string{"pieces", "fused"} {
		t.Run(name, func(t *testing.T) {
			var lines syncBuffer
			log := slog.New(slog.NewJSONHandler(&lines, nil))
			spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
			tracer, meter := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
			chain := []connectum.Interceptor{newFused(tracer, meter, log)}
			if name == "pieces" {
				tel, err := telemetry.Start(t.Context(), telemetry.Config{TracerProvider: tracer, MeterProvider: meter, Logs: telemetry.None})
				if err != nil {
					t.Fatal(err)
				}
				chain = interceptor.Defaults(interceptor.Config{Telemetry: tel.Server(), Log: &interceptor.LogConfig{}, Logger: log})
			}
			srv := connectum.New(connectum.Config{Interceptors: chain, Logger: slog.New(slog.DiscardHandler)})
			benchv1connect.RegisterBenchServiceHandler(srv.RPC(), failing{})
			t.Cleanup(func() { // before what follows, the server stops: all is told
				got[i] = append(got[i], linesOf(t, lines.String())...)
				got[i] = append(got[i], spansOf(spans.GetSpans())...)
				got[i] = append(got[i], pointsOf(t, reader)...)
				slices.Sort(got[i])
			})
			connectumtest.EachDoor(t, srv, func(t *testing.T, client *connect.Client) {
				for _, text := range []string{"fine", "", "error", "told", "panic"} {
					got[i] = append(got[i], fmt.Sprintf("%s %q: %s", t.Name()[len(t.Name())-8:], text, masked(fmt.Sprint(outcomes(t.Context(), client, text)))))
				}
			})
		})
	}
	if len(got[0]) < 200 || cmp.Diff(got[0], got[1]) != "" {
		t.Errorf("%d told by the pieces (-), %d by the experiment (+):\n%s", len(got[0]), len(got[1]), cmp.Diff(got[0], got[1]))
	}
}

// failing does as it is told.
type failing struct{ connectService }

func (failing) Echo(_ context.Context, req *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	return &benchv1.EchoResponse{Text: req.GetText()}, fail(req.GetText())
}

func (f failing) Count(ctx context.Context, req *benchv1.CountRequest, stream benchv1connect.BenchServiceCountServerStream) error {
	return errors.Join(f.connectService.Count(ctx, req, stream), fail(req.GetText()))
}

func fail(how string) error {
	switch how {
	case "error":
		return io.ErrUnexpectedEOF
	case "told":
		return connect.NewError(connect.CodeUnavailable, "later").WithCause(io.ErrClosedPipe)
	case "panic":
		panic("oops")
	}
	return nil
}

// outcomes are what the three kinds of calls end with at their client.
func outcomes(ctx context.Context, client *connect.Client, text string) (all []string) {
	c := benchv1connect.NewBenchServiceClient(client)
	_, err := c.Echo(ctx, &benchv1.EchoRequest{Text: text})
	all = append(all, fmt.Sprint(err))
	n := 0
	count, err := c.Count(ctx, &benchv1.CountRequest{Text: text, Times: 3})
	for ; err == nil; n++ {
		_, err = count.Receive()
	}
	all = append(all, fmt.Sprint(n, err))
	chat, err := c.Chat(ctx)
	for k := 0; k < 2 && err == nil; k++ {
		err = chat.Send(&benchv1.ChatRequest{Text: text})
	}
	if err == nil || errors.Is(err, io.EOF) {
		_ = chat.CloseSend()
		for err = nil; err == nil; {
			_, err = chat.Receive()
		}
	}
	return append(all, fmt.Sprint(connect.CodeOf(err)))
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

var chance = regexp.MustCompile(`(, id |error_id:|duration:|peer:|port:)[0-9a-z.:+]+`)

func masked(text string) string { return chance.ReplaceAllString(text, "$1*") }

func linesOf(t *testing.T, text string) (out []string) {
	for line := range strings.Lines(text) {
		var attrs map[string]any
		if err := json.Unmarshal([]byte(line), &attrs); err != nil {
			t.Error(err)
		}
		delete(attrs, "time")
		delete(attrs, "stack")
		out = append(out, masked(fmt.Sprint(attrs)))
	}
	return out
}

func spansOf(spans tracetest.SpanStubs) (out []string) {
	for _, s := range spans {
		text := fmt.Sprint(s.Name, s.SpanKind, s.Status, s.InstrumentationScope, sets(s.Attributes))
		for _, e := range s.Events {
			text += e.Name + sets(e.Attributes)
		}
		out = append(out, masked(text))
	}
	return out
}

func sets(attrs []attribute.KeyValue) (text string) {
	set := attribute.NewSet(attrs...)
	for _, a := range set.ToSlice() {
		text += fmt.Sprintf(" %s:%v", a.Key, a.Value.AsInterface())
	}
	return text
}

func pointsOf(t *testing.T, reader *sdkmetric.ManualReader) (out []string) {
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Error(err)
	}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			about := fmt.Sprint(s.Scope, m.Name, m.Unit, m.Description)
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out = append(out, fmt.Sprint(about, sets(p.Attributes.ToSlice()), p.Count, p.Bounds))
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					out = append(out, fmt.Sprint(about, sets(p.Attributes.ToSlice()), p.Count, p.Sum, p.Bounds))
				}
			}
		}
	}
	return out
}
