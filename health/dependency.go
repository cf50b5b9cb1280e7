package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Schedule is how often a dependency is probed, and how many results it takes
// to change its status. It takes at most
//
//	Failures × Interval × (1 + Jitter) + Timeout
//
// until a dependency that breaks is told as down: 18.5 s by default.
type Schedule struct {
	// Interval is the pause between the end of a probe and the next one.
	// The default is 5 s.
	Interval time.Duration

	// Timeout bounds one probe: then its context ends, and it has failed.
	// The default is 2 s.
	Timeout time.Duration

	// Jitter varies each pause by up to this fraction of it, both ways, so
	// that replicas do not probe in step. Negative means none. The default
	// is 0.1.
	Jitter float64

	// Failures is how many probes in a row fail before the dependency is
	// down. The default is 3.
	Failures int

	// Successes is how many probes in a row succeed before the dependency is
	// up, the first time and after it was down. The default is 1.
	Successes int
}

func (s Schedule) withDefaults() Schedule {
	s.Interval = cmp.Or(s.Interval, 5*time.Second)
	s.Timeout = cmp.Or(s.Timeout, 2*time.Second)
	s.Jitter = max(cmp.Or(s.Jitter, 0.1), 0)
	s.Failures = cmp.Or(s.Failures, 3)
	s.Successes = cmp.Or(s.Successes, 1)
	return s
}

// pause is the time until the next probe.
func (s Schedule) pause() time.Duration {
	return time.Duration(float64(s.Interval) * (1 + s.Jitter*(2*rand.Float64()-1)))
}

// ProbeOption changes what [Checker.Add] adds.
type ProbeOption interface{ applyProbe(*dependency) }

type probeOptionFunc func(*dependency)

func (f probeOptionFunc) applyProbe(d *dependency) { f(d) }

// WithSchedule probes by s; its zero fields keep their defaults.
func WithSchedule(s Schedule) ProbeOption {
	return probeOptionFunc(func(d *dependency) { d.schedule = s })
}

// WithServices ties a dependency to the services of these full names: only
// they are not serving while it is down. A name that the server does not have
// is an error of the start. The default is all services.
func WithServices(names ...string) ProbeOption {
	return probeOptionFunc(func(d *dependency) { d.services = append(d.services, names...) })
}

// NonCritical keeps the server ready while the dependency is down: only the
// services it is tied to, if any, are not serving.
func NonCritical() ProbeOption {
	return probeOptionFunc(func(d *dependency) { d.critical = false })
}

// dependency is something the server needs. The fields below the probe are
// guarded by the lock of the checker.
type dependency struct {
	name     string
	schedule Schedule
	services []string
	critical bool
	probe    func(context.Context) error
	hanging  <-chan outcome // of a probe that did not end; its own goroutine's

	up        bool
	probed    time.Time // of the last result; zero before the first
	changed   time.Time // when up last changed
	took      time.Duration
	reason    string // why the last probe failed
	good, bad int    // results in a row
	failures  int64  // results in all
}

// Add probes a dependency in the background while the server runs: at once,
// then by its [Schedule]. It is down until the probe has succeeded, and while it
// is down the server is not ready:
//
//	                     server ("" and /readyz)   services
//	Add                  falls                     all fall
//	with WithServices    falls                     those fall
//	with NonCritical     stays                     all stay
//	with both            stays                     those fall
//
// probe returns nil when the dependency is well. It must be safe to call from
// another goroutine and should return when its context ends; one that does not
// return, or panics, has failed, and is not called again before it has returned.
// Its error is told where details are, and logged when the dependency falls.
//
// Add must be called before the server runs. It panics once it does, for a nil
// probe, and for a name that is empty, has a dot or a slash, or is taken.
// Negative values of the schedule are errors of the start.
//
// The probes end when the server begins to stop, and have ended when the
// shutdown hook "health" has: close a connection that is probed after it.
//
//	srv.OnShutdown("database", db.Close, "health")
func (c *Checker) Add(name string, probe func(context.Context) error, opts ...ProbeOption) {
	fault := func(why string) { panic(fmt.Sprintf("health: Add(%q): %s", name, why)) }
	if name == "" || strings.ContainsAny(name, "./") {
		fault("the name of a dependency is not empty and has neither dot nor slash")
	}
	if probe == nil {
		fault("the probe is nil")
	}
	d := &dependency{name: name, probe: probe, critical: true}
	for _, o := range opts {
		o.applyProbe(d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.set[name]; taken || c.dependency(name) != nil {
		fault("the name is taken")
	}
	if c.begun {
		fault("the server runs already")
	}
	if len(c.dependencies) == 0 {
		c.server.OnShutdown("health", c.wait)
	}
	c.dependencies = append(c.dependencies, d)
	c.publish()
}

// dependency returns the one of that name, or nil. The caller holds mu.
func (c *Checker) dependency(name string) *dependency {
	if i := slices.IndexFunc(c.dependencies, func(d *dependency) bool { return d.name == name }); i >= 0 {
		return c.dependencies[i]
	}
	return nil
}

// check reports what is wrong with d and settles its schedule. The caller holds
// mu.
func (c *Checker) check(d *dependency) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("health: dependency %q: "+format, append([]any{d.name}, args...)...))
	}
	s := d.schedule
	if s.Interval < 0 {
		fault("Schedule.Interval is %v: it can't be negative", s.Interval)
	}
	if s.Timeout < 0 {
		fault("Schedule.Timeout is %v: it can't be negative", s.Timeout)
	}
	if s.Jitter > 1 {
		fault("Schedule.Jitter is %v: it can't be more than 1", s.Jitter)
	}
	if s.Failures < 0 {
		fault("Schedule.Failures is %d: it can't be negative", s.Failures)
	}
	if s.Successes < 0 {
		fault("Schedule.Successes is %d: it can't be negative", s.Successes)
	}
	if slices.Contains(c.services, d.name) {
		fault("a service of the server has that name")
	}
	for _, name := range d.services {
		if !slices.Contains(c.services, name) {
			fault("WithServices(%q): the server has no such service", name)
		}
	}
	d.schedule = s.withDefaults()
	return errors.Join(faults...)
}

func (d *dependency) status() Status {
	if d.up {
		return Serving
	}
	return NotServing
}

// record takes down a result and reports whether there is something to tell.
// The caller holds the lock of the checker.
func (d *dependency) record(err error, took time.Duration) bool {
	now := time.Now()
	first := d.probed.IsZero()
	d.probed, d.took = now, took
	was := d.up
	if err == nil {
		d.good, d.bad, d.reason = d.good+1, 0, ""
		d.up = d.up || d.good >= d.schedule.Successes
	} else {
		d.good, d.bad, d.reason = 0, d.bad+1, clip(err.Error())
		d.failures++
		d.up = d.up && d.bad < d.schedule.Failures
	}
	if first || d.up != was {
		d.changed = now
		return true
	}
	return false
}

// clip bounds what an error may put into an answer or the log.
func clip(text string) string {
	const most = 512
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
