package telemetry

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/trace"
)

// Level returns the level of [Telemetry.LogHandler]. It may be changed at any
// time, by /loglevel as well (see [Telemetry.Register]).
func (t *Telemetry) Level() *slog.LevelVar { return &t.level }

// LogHandler returns a handler that adds trace_id and span_id, at the top, to
// each record whose context has a span, hands it to next, and sends it to where
// logs go (see Config.Logs).
//
//	slog.SetDefault(slog.New(tel.LogHandler(slog.NewJSONHandler(os.Stderr, nil))))
//
// Records below [Telemetry.Level] are dropped. That level stands for the one of
// next, which is not asked. The result is safe for concurrent use if next is.
func (t *Telemetry) LogHandler(next slog.Handler) slog.Handler {
	h := &logHandler{t: t, next: next, top: next}
	if t.logs {
		h.export = otelslog.NewHandler(scope, otelslog.WithLoggerProvider(t.loggerProvider))
	}
	return h
}

type logHandler struct {
	t      *Telemetry
	next   slog.Handler
	export slog.Handler // nil: logs go nowhere else
	top    slog.Handler // next without the groups
	within []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.t.level.Level()
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if h.export != nil {
		err = h.export.Handle(ctx, r.Clone())
	}
	next := h.next
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		ids := []slog.Attr{slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String())}
		if len(h.within) == 0 {
			r = r.Clone()
			r.AddAttrs(ids...)
		} else { // a group is open, and the ids do not belong to it
			next = h.top.WithAttrs(ids)
			for _, f := range h.within {
				next = f(next)
			}
		}
	}
	if failed := next.Handle(ctx, r); failed != nil {
		err = failed
	}
	return err
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	attrs = slices.Clone(attrs)
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) }, len(h.within) > 0)
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) }, true)
}

func (h *logHandler) with(f func(slog.Handler) slog.Handler, within bool) slog.Handler {
	c := *h
	c.next = f(h.next)
	if h.export != nil {
		c.export = f(h.export)
	}
	if within {
		c.within = append(h.within[:len(h.within):len(h.within)], f)
	} else {
		c.top = c.next
	}
	return &c
}
