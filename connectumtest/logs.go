package connectumtest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Logs keeps what is logged, for tests to look at. Make one with [RecordLogs].
// It is safe for concurrent use.
type Logs struct {
	store *store
	to    slog.Handler
}

// Record is one line of a log. The names of attributes in groups are joined by
// dots; values are as they were logged.
type Record struct {
	Level   slog.Level
	Message string
	Attrs   map[string]any
}

type store struct {
	mu      sync.Mutex
	records []Record
	more    chan struct{} // closed by the next record
}

// RecordLogs returns a recorder of logs, which also go to the log of t.
func RecordLogs(t testing.TB) *Logs {
	return &Logs{store: &store{more: make(chan struct{})}, to: Logger(t).Handler()}
}

// Logger returns the logger to give away, from debug level up.
func (l *Logs) Logger() *slog.Logger { return slog.New(&logHandler{logs: l, to: l.to}) }

// Records returns what was logged until now, in order.
func (l *Logs) Records() []Record {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	return slices.Clone(l.store.records)
}

// Find returns the records whose message contains text.
func (l *Logs) Find(text string) []Record {
	return slices.DeleteFunc(l.Records(), func(r Record) bool { return !strings.Contains(r.Message, text) })
}

// Await waits up to 10 s for a record whose message contains text and returns
// the first. The test ends when there is none.
func (l *Logs) Await(t testing.TB, text string) Record {
	t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		l.store.mu.Lock()
		more := l.store.more
		l.store.mu.Unlock()
		if found := l.Find(text); len(found) > 0 {
			return found[0]
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("nothing was logged with %q; see the log above", text)
		}
	}
}

// String returns the records as text, one a line.
func (l *Logs) String() string {
	var b strings.Builder
	for _, r := range l.Records() {
		fmt.Fprintf(&b, "%v %s", r.Level, r.Message)
		for _, name := range slices.Sorted(maps.Keys(r.Attrs)) {
			fmt.Fprintf(&b, " %s=%v", name, r.Attrs[name])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// logHandler records and passes on.
type logHandler struct {
	logs   *Logs
	to     slog.Handler
	prefix string
	attrs  []slog.Attr // with their prefixes
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	record := Record{Level: r.Level, Message: r.Message, Attrs: map[string]any{}}
	for _, a := range h.attrs {
		flatten(record.Attrs, "", a)
	}
	r.Attrs(func(a slog.Attr) bool { flatten(record.Attrs, h.prefix, a); return true })
	s := h.logs.store
	s.mu.Lock()
	s.records = append(s.records, record)
	close(s.more)
	s.more = make(chan struct{})
	s.mu.Unlock()
	return h.to.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.to = h.to.WithAttrs(attrs)
	next.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		next.attrs = append(next.attrs, a)
	}
	return &next
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.to, next.prefix = h.to.WithGroup(name), h.prefix+name+"."
	return &next
}

func flatten(into map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, one := range v.Group() {
			flatten(into, prefix, one)
		}
	case a.Key != "":
		into[prefix+a.Key] = v.Any()
	}
}
