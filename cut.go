package connectum

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
)

// endStreams ends each stream when its grace is over. Those that begin meanwhile
// have one of their own: a client may use an idle connection once more before it
// reads that it is to leave, and what it calls is a call like any other.
func (s *Server) endStreams(over <-chan struct{}) {
	grace := s.shutdown.StreamGrace
	look := time.NewTicker(max(min(grace/8, watchTick), time.Millisecond))
	defer look.Stop()
	due := map[*call]time.Time{}
	for now := time.Now(); ; {
		present := map[*call]time.Time{}
		for _, c := range s.calls.pick(func(c *call) bool { return c.kind != connect.StreamTypeUnary }) {
			at, known := due[c]
			if !known {
				at = now.Add(grace)
			}
			present[c] = at
		}
		due = present
		s.endCalls(func(c *call) bool {
			at, known := due[c]
			return known && !now.Before(at)
		})
		select {
		case now = <-look.C:
		case <-over:
			return
		}
	}
}

// endInfrastructure ends the streams of infrastructure. They are not counted,
// but have seen Draining, and what they say last is what they are there for:
// that the server leaves.
func (s *Server) endInfrastructure(plan plan) {
	streams := func(c *call) bool { return c.system && c.kind != connect.StreamTypeUnary }
	until := time.Now().Add(lastWord)
	if !plan.force.IsZero() {
		until = earlier(until, plan.force)
	}
	for time.Now().Before(until) && !s.isForced() && len(s.calls.pick(streams)) > 0 {
		s.sleep(5*time.Millisecond, until)
	}
	s.endCalls(streams)
}

// lastWord is how long a stream of infrastructure may take to end by itself.
const lastWord = 500 * time.Millisecond

// cut ends by force what is left, and names it.
func (s *Server) cut(r *running, phase func(string, time.Time, ...slog.Attr)) error {
	at := time.Now()
	names := s.endCalls(func(*call) bool { return true })
	r.cancel(errStopping)
	answered := time.NewTimer(answerTime(s.shutdown.Timeout))
	defer answered.Stop()
	for s.flight.count() > 0 {
		select {
		case <-s.flight.idle:
			continue
		case <-answered.C:
		}
		break
	}
	if left := s.InFlight(); left > 0 {
		s.log().Error("shutdown: calls did not end when they were told to", "calls", left, "stacks", stacksIn(runsCall, runsHTTP))
	} else {
		<-time.After(idleGrace) // also when forced: the last bytes are on their way
	}
	_ = r.http.Close()
	if r.router != nil {
		r.router.cut()
	}
	phase("force", at, slog.Any("cut", names), slog.Int("left_behind", s.InFlight()))
	if len(names) == 0 {
		return ErrForced
	}
	return fmt.Errorf("%w: %s", ErrForced, strings.Join(names, ", "))
}

// endCalls ends the calls that which chooses and returns their names, each
// once, with how many there were.
func (s *Server) endCalls(which func(c *call) bool) []string {
	counts := map[string]int{}
	for _, c := range s.calls.pick(func(c *call) bool { return which(c) }) {
		c.end(errStopping) // before the poke, so that nothing else is told first
		c.poke(true, false)
		if !c.system {
			counts[c.name]++
		}
	}
	var names []string
	for name, n := range counts {
		if n > 1 {
			name = fmt.Sprintf("%s (%d)", name, n)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
