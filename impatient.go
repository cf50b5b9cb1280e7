package connectum

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// impatience is how long a stop waits for a line of its log.
const impatience = time.Second

// impatient is the log of a stop, which goes on though nobody reads it: whoever
// writes to a pipe that is full waits for its reader. A line that takes longer is
// left behind, and those that come while it is stuck are dropped.
type impatient struct {
	slog.Handler
	stuck *atomic.Int32
}

// stopWaitingForLog makes the log of s that of a stop.
func (s *Server) stopWaitingForLog() {
	h := s.log().Handler()
	if _, done := h.(impatient); !done {
		s.logger.Store(slog.New(impatient{h, new(atomic.Int32)}))
	}
}

func (h impatient) Handle(ctx context.Context, r slog.Record) error {
	if h.stuck.Load() > 0 {
		return os.ErrDeadlineExceeded
	}
	written := make(chan error, 1)
	go func() {
		defer func() {
			if thrown := recover(); thrown != nil {
				written <- fmt.Errorf("the handler panicked: %v", thrown)
			}
		}()
		written <- h.Handler.Handle(ctx, r.Clone())
	}()
	late := time.NewTimer(impatience)
	defer late.Stop()
	select {
	case err := <-written:
		return err
	case <-late.C:
	}
	// It may have been written, and this process have been asleep.
	select {
	case err := <-written:
		return err
	case <-time.After(grace):
	}
	h.stuck.Add(1)
	go func() {
		defer h.stuck.Add(-1)
		<-written //nolint:errcheck // nobody waits for it any more
	}()
	return os.ErrDeadlineExceeded
}

func (h impatient) WithAttrs(attrs []slog.Attr) slog.Handler {
	return impatient{h.Handler.WithAttrs(attrs), h.stuck}
}

func (h impatient) WithGroup(name string) slog.Handler {
	return impatient{h.Handler.WithGroup(name), h.stuck}
}
