package connectum

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Shutdown bounds and shapes the stop of a [Server].
type Shutdown struct {
	// Timeout is the budget of the whole stop, hooks included. It must be
	// shorter than what the orchestrator gives: Kubernetes kills after 30 s.
	// Negative is a mistake; to stop at once call [Server.Shutdown] with a
	// context that has ended. The default is 25 s.
	Timeout time.Duration

	// DrainDelay is how long the server goes on as before after its
	// readiness has fallen, so that balancers notice. 5 s is right in
	// Kubernetes; a balancer that probes needs interval × failures + 1 s.
	// The default is none.
	DrainDelay time.Duration

	// StreamGrace is how long a stream may take to finish by itself after
	// [Draining] has told it, or since it began if it began later; then it
	// ends as unavailable. Negative means as long as other calls. The
	// default is 5 s.
	StreamGrace time.Duration

	// NoForce waits for calls for as long as they take, or until the
	// context given to [Server.Shutdown] ends. Timeout then bounds the
	// hooks alone.
	NoForce bool
}

// ErrForced is in the error of [Server.Run] when calls did not end in time and
// were cut.
var ErrForced = errors.New("connectum: calls were cut by the shutdown")

func (s Shutdown) withDefaults() Shutdown {
	s.Timeout = cmp.Or(s.Timeout, 25*time.Second)
	s.StreamGrace = cmp.Or(s.StreamGrace, 5*time.Second)
	return s
}

func (s Shutdown) check() []error {
	var faults []error
	if s.Timeout < 0 {
		faults = append(faults, fmt.Errorf("Timeout is %v: it can't be negative", s.Timeout))
	}
	if s.DrainDelay < 0 {
		faults = append(faults, fmt.Errorf("DrainDelay is %v: it can't be negative", s.DrainDelay))
	}
	if total := s.withDefaults().Timeout; s.Timeout >= 0 && s.DrainDelay >= total && !s.NoForce {
		faults = append(faults, fmt.Errorf("DrainDelay of %v leaves nothing of the Timeout of %v", s.DrainDelay, total))
	}
	short := checkUnits("", map[string]time.Duration{"Timeout": s.Timeout, "DrainDelay": s.DrainDelay, "StreamGrace": s.StreamGrace})
	slices.SortFunc(short, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return append(faults, short...)
}

// plan is when the phases of one stop end at the latest.
type plan struct {
	force time.Time // calls are cut; zero: never
	hooks time.Time // hooks are left behind
}

// reserve is what hooks are guaranteed of a budget.
func reserve(budget time.Duration) time.Duration { return min(7*time.Second, budget*3/10) }

// answerTime is what calls get to answer when they are told to end by force.
func answerTime(budget time.Duration) time.Duration { return min(time.Second, budget/10) }

func (s *Server) plan(now time.Time) plan {
	budget := s.shutdown.Timeout
	p := plan{hooks: now.Add(budget)}
	if s.shutdown.NoForce {
		return p
	}
	p.force = p.hooks.Add(-answerTime(budget))
	if !s.hooks.empty() {
		p.force = p.force.Add(-reserve(budget))
	}
	return p
}
