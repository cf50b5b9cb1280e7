package connectum

import (
	"sync"
	"sync/atomic"
	"time"
)

// watch looks at the calls in flight now and then and ends those whose
// clients have stalled. Deadlines of net/http for each read and write would do
// the same for two timers and two switches of goroutines a call; here a call
// leaves a mark when it starts to wait.
type watch struct {
	now  atomic.Int64 // ticks since the server began, from 1
	stop chan struct{}
	done sync.WaitGroup
}

const watchTick = 250 * time.Millisecond

// tick returns the mark to leave. It is never 0.
func (w *watch) tick() int64 { return w.now.Load() + 1 }

// elapsed is the time between two marks, to within one tick.
func elapsed(since, now int64) time.Duration { return time.Duration(now-since) * watchTick }

// start begins to look, until [watch.end].
func (w *watch) start(look func(now int64)) {
	w.stop = make(chan struct{})
	w.done.Go(func() {
		ticker := time.NewTicker(watchTick)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				look(w.now.Add(1) + 1)
			case <-w.stop:
				return
			}
		}
	})
}

func (w *watch) end() {
	if w.stop != nil {
		close(w.stop)
		w.done.Wait()
	}
}

// look ends the calls whose clients have stalled.
func (s *Server) look(now int64) {
	if stall := s.limits.WriteStall; stall > 0 && now%4 == 0 {
		s.mu.Lock()
		closeEnded := s.closeEnded
		s.mu.Unlock()
		if closeEnded != nil {
			s.counters.stalled.Add(int64(closeEnded(stall)))
		}
	}
	for _, c := range s.calls.pick(func(c *call) bool { return (c.w != nil || c.engine != nil) && c.stalled(now) != nil }) {
		why := c.stalled(now)
		if why == nil || !c.cut.CompareAndSwap(nil, why) {
			continue
		}
		s.counters.stalled.Add(1)
		s.log().Debug("call cut: its client stalled", "call", c.name, "reason", why.Message())
		c.end(why)
		c.poke(c.reading.Load() > 0, c.writing.Load() > 0)
	}
}
