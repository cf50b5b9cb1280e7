package connectum_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
)

// stuckLog is a handler whose writes wait while it is stuck, as those to a pipe
// that nobody reads.
type stuckLog struct {
	slog.Handler
	mu    sync.Mutex
	stuck chan struct{} // closed when it goes on; nil: it is not stuck
	lines []string
}

func (l *stuckLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *stuckLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	stuck := l.stuck
	l.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

func (l *stuckLog) set(stuck chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = stuck
}

func (l *stuckLog) written() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// A log that nobody reads holds up a stop for a second, and its hooks run. Without
// it nothing waits, and no line is lost.
func TestAStopDoesNotWaitForItsLog(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := new(stuckLog)
			srv := connectum.New(connectum.Config{Logger: slog.New(log)})
			closed := 0
			srv.OnShutdown("database", func() { closed++ })
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			l := newMemory()
			go func() { ended <- srv.Serve(ctx, l) }()
			synctest.Wait()
			goOn := make(chan struct{})
			if stuck {
				log.set(goOn)
			}
			before := len(log.written())
			began := time.Now()
			cancel()
			if err := <-ended; err != nil || closed != 1 {
				t.Errorf("%v, the hook ran %d times", err, closed)
			}
			took, lines := time.Since(began), len(log.written())-before
			if stuck != (took >= time.Second) || took > 2*time.Second || stuck != (lines == 0) {
				t.Errorf("stuck %t: the stop took %v, with %d lines", stuck, took, lines)
			}
			// What was stuck is written when it goes on, and so is what comes then.
			log.set(nil)
			close(goOn)
			synctest.Wait()
			before = len(log.written())
			srv.OnShutdown("late", func() {})
			if got := len(log.written()) - before; got != 1 {
				t.Errorf("stuck %t: %d lines when it goes on", stuck, got)
			}
			if err := srv.Shutdown(t.Context()); err != nil && !errors.Is(err, connectum.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}
