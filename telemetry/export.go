package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func failedStart(s signal, e Exporter, err error) error {
	return fmt.Errorf("telemetry: start the %s exporter of %s: %w", e, s, err)
}

// failures counts exports that failed and tells of them now and then. The SDK
// would tell a handler that is global.
type failures struct {
	count atomic.Int64
	told  atomic.Int64 // seconds of the clock of failed
}

// supervisor stands between the SDK and an exporter: it ends exports when the
// shutdown can't wait for them, and keeps their failures here.
type supervisor struct {
	t      *Telemetry
	signal signal
}

func (t *Telemetry) supervise(s signal) supervisor { return supervisor{t, s} }

func (s supervisor) export(ctx context.Context, f func(context.Context) error) error {
	if s.t.abort.Err() != nil {
		s.failed(errors.New("the shutdown is over"))
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.t.abort, cancel)()
	if err := f(ctx); err != nil {
		s.failed(err)
	}
	return nil
}

func (s supervisor) failed(err error) {
	f := &s.t.failures[s.signal]
	n := f.count.Add(1)
	now := 60 + int64(time.Since(s.t.started)/time.Second)
	if last := f.told.Load(); now-last < 60 || !f.told.CompareAndSwap(last, now) {
		return
	}
	s.t.log().LogAttrs(context.Background(), slog.LevelWarn, "telemetry not exported",
		slog.String("signal", s.signal.String()), slog.Int64("failures", n), slog.String("error", clip(err.Error())))
}

type spans struct {
	sdktrace.SpanExporter
	supervisor
}

func (e spans) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	return e.export(ctx, func(ctx context.Context) error { return e.SpanExporter.ExportSpans(ctx, batch) })
}

type points struct {
	sdkmetric.Exporter
	supervisor
}

func (e points) Export(ctx context.Context, batch *metricdata.ResourceMetrics) error {
	return e.export(ctx, func(ctx context.Context) error { return e.Exporter.Export(ctx, batch) })
}

type records struct {
	sdklog.Exporter
	supervisor
}

func (e records) Export(ctx context.Context, batch []sdklog.Record) error {
	return e.export(ctx, func(ctx context.Context) error { return e.Exporter.Export(ctx, batch) })
}

// closer ends what exports a signal.
type closer struct {
	signal          signal
	flush, shutdown func(context.Context) error
}

// Flush sends what waits to be sent, all signals at once. A program that serves
// needs it not: spans and records are sent every 5 s (OTEL_BSP_SCHEDULE_DELAY)
// or second (OTEL_BLRP_SCHEDULE_DELAY), metrics every minute
// (OTEL_METRIC_EXPORT_INTERVAL). The error is that ctx has ended.
func (t *Telemetry) Flush(ctx context.Context) error {
	return t.each(func(c closer) error { return c.flush(ctx) })
}

// Shutdown sends what waits to be sent, all signals at once, and ends the
// exporters. It takes no longer than ctx, or 200 ms if there is less, and 5 s when
// that has no deadline: what could not be sent by then is lost. That is logged, and the result is nil
// in any case, so that a dead collector does not change how a program exits:
//
//	srv.OnShutdown("telemetry", tel.Shutdown, "database")
//
// Spans, metrics and records that come later are dropped. A further call does
// nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.shutdown.Do(func() { t.close(ctx) })
	return nil
}

const (
	patience = 5 * time.Second
	// A part of the time is for telling exporters to give up, and seeing them do so.
	farewell = 200 * time.Millisecond
)

func (t *Telemetry) close(ctx context.Context) {
	defer t.aborted()
	now := time.Now()
	deadline, has := ctx.Deadline()
	if !has {
		deadline = now.Add(patience)
	}
	sending, cancel := context.WithDeadline(ctx, deadline.Add(-min(farewell, deadline.Sub(now)/4)))
	defer cancel()
	// The SDK leaves its goroutines behind when its context ends, or has ended: it
	// has some time more, in which ending the exports that are under way ends them.
	stop := context.AfterFunc(sending, t.aborted)
	if last := now.Add(farewell); deadline.Before(last) {
		deadline = last
	}
	closing, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	before := t.failed()
	err := t.each(func(c closer) error {
		if err := c.shutdown(closing); err != nil {
			return fmt.Errorf("%s: %w", c.signal, err)
		}
		return nil
	})
	stop()
	for _, c := range t.clients {
		c.CloseIdleConnections()
	}
	if lost := t.failed() - before; err != nil || lost > 0 {
		attrs := []slog.Attr{slog.Int64("failures", lost)}
		if err != nil {
			attrs = append(attrs, slog.String("error", clip(err.Error())))
		}
		t.log().LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "telemetry was lost at the end", attrs...)
	}
}

func (t *Telemetry) failed() (n int64) {
	for i := range t.failures {
		n += t.failures[i].count.Load()
	}
	return n
}

// each runs f for all signals together.
func (t *Telemetry) each(f func(closer) error) error {
	errs := make([]error, len(t.closers))
	var wg sync.WaitGroup
	for i, c := range t.closers {
		wg.Go(func() { errs[i] = f(c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// clip bounds a text that others have made.
func clip(text string) string {
	const most = 1 << 10
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
