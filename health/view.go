package health

import (
	"maps"
	"slices"
	"strings"

	"github.com/connectum-go/connectum"
)

// view is every status at one time. It is never changed, only replaced.
type view struct {
	entries  map[string]entry
	override bool          // the whole was Set
	changed  chan struct{} // closed when there is a newer view, or the server's state has changed
}

// entry is the status of one name, by the state of the server.
type entry struct {
	running, before Status
	process         Status // running, leaving dependencies aside
	detail          bool   // a dependency: not for strangers
}

// look answers from the cache. The channel is closed when it is worth asking
// again.
func (c *Checker) look(name string, details bool) (Status, bool, <-chan struct{}) {
	v := c.current()
	e, ok := v.entries[name]
	if !ok || e.detail && !details {
		return Unknown, false, v.changed
	}
	return e.at(c.server.State()), true, v.changed
}

func (e entry) at(state connectum.State) Status {
	switch {
	case e.detail:
		return e.running
	case state > connectum.StateRunning:
		return NotServing
	case state == connectum.StateRunning:
		return e.running
	}
	return e.before
}

// current returns the view of now. It must not be called before the server's
// services are registered, but by those who read the result only once.
func (c *Checker) current() *view {
	if v := c.view.Load(); v != nil {
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.view.Load(); v != nil {
		return v
	}
	return c.build()
}

// settle takes down the services of the server, once they are final: questions
// come by doors, which the server opens when they are.
func (c *Checker) settle() {
	if c.view.Load() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled {
		c.services, c.settled = c.mounted(), true
		c.view.Store(c.build())
	}
}

// publish makes what has changed known. The caller holds mu.
func (c *Checker) publish() {
	if c.settled {
		close(c.view.Swap(c.build()).changed)
	}
}

// build makes the view of now. The caller holds mu.
func (c *Checker) build() *view {
	services := c.services
	if !c.settled {
		services = c.mounted()
	}
	entries := make(map[string]entry, 1+len(services)+len(c.set)+len(c.dependencies))
	whole := entry{running: Serving, before: NotServing, process: Serving}
	shared := Serving // what dependencies of all services make of each
	for _, d := range c.dependencies {
		entries[d.name] = entry{running: d.status(), detail: true}
		if d.critical && !d.up {
			whole.running = NotServing
			if len(d.services) == 0 {
				shared = NotServing
			}
		}
	}
	for _, name := range services {
		e := entry{running: shared, before: NotServing, process: Serving}
		if slices.ContainsFunc(c.dependencies, func(d *dependency) bool { return !d.up && slices.Contains(d.services, name) }) {
			e.running = NotServing
		}
		entries[name] = e
	}
	all, override := c.set[""]
	if override {
		for _, name := range services {
			entries[name] = fixed(all)
		}
	}
	for name, s := range c.set {
		if name != "" {
			if s != Serving {
				whole.running, whole.process = NotServing, NotServing
			}
			entries[name] = fixed(s)
		}
	}
	if override {
		whole = fixed(all)
	}
	entries[""] = whole
	return &view{entries: entries, override: override, changed: make(chan struct{})}
}

func fixed(s Status) entry { return entry{running: s, before: s, process: s} }

// mounted returns the services registered on the server, without
// infrastructure.
func (c *Checker) mounted() []string {
	names := map[string]bool{}
	for spec := range c.server.Procedures() {
		names[serviceOf(spec.Procedure)] = true
	}
	for spec := range c.server.System().Specs() {
		delete(names, serviceOf(spec.Procedure))
	}
	return slices.Sorted(maps.Keys(names))
}

func serviceOf(procedure string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(procedure, "/"), "/")
	return service
}
