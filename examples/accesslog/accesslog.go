// Package accesslog collects the lines of the access log, so that one system call
// writes many. It is for services that answer thousands of calls a second: copy it
// into one. It links zap, which nothing else of the framework does.
package accesslog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"go.uber.org/zap/zapcore"
)

// size is what is collected at most, some eighty lines. A pipe of Linux holds four
// times as much, so that a flush seldom waits for who reads it.
const size = 16 << 10

// Buffer returns a writer that collects lines and hands them to w together: after
// that time, before they are more than 16 KiB, at Sync and at Stop. What comes after
// Stop is written at the next Sync, or never. It is safe for concurrent use; while w
// blocks, its callers do.
func Buffer(w io.Writer, every time.Duration) *zapcore.BufferedWriteSyncer {
	return &zapcore.BufferedWriteSyncer{WS: sink{w}, Size: size, FlushInterval: every}
}

// sink is w as a BufferedWriteSyncer has to see it. An error would stay in its
// bufio.Writer, and a disk that was full for a moment would end the log for good:
// so what could not be written is lost, and no more, as it is without a buffer. Its
// Sync is not that of a file, which waits for the disk at each flush.
type sink struct{ io.Writer }

func (s sink) Write(lines []byte) (int, error) {
	_, _ = s.Writer.Write(lines)
	return len(lines), nil
}

func (sink) Sync() error { return nil }

// Urgent returns a handler that flushes after each record of level Warn and above,
// so that it is written at once, after those that came before it.
func Urgent(h slog.Handler, flush func() error) slog.Handler { return urgent{h, flush} }

type urgent struct {
	slog.Handler
	flush func() error
}

func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		err = errors.Join(err, u.flush())
	}
	return err
}

func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.flush}
}

func (u urgent) WithGroup(name string) slog.Handler {
	return urgent{u.Handler.WithGroup(name), u.flush}
}
