// Package health tells whether a server and its services can take calls: to
// gRPC clients and Kubernetes' grpc probe as grpc.health.v1 (Check, List and
// Watch), and to HTTP probes as /livez, /readyz, /startupz and /healthz.
//
//	func main() {
//		srv := connectum.New(connectum.Config{})
//		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//		checks := health.Register(srv) // follows ready and draining by itself
//		checks.Add("database", db.PingContext)
//		connectum.Main(srv)
//	}
//
// Four questions are asked of a server, and mixing them up is what makes
// restarts out of outages:
//
//	path       200 when                                  dependency down   draining
//	/livez     the process answers                       200               200
//	/startupz  it has started, each dependency probed    200               200
//	/readyz    it should be sent calls: Check("")        503 if critical   503
//	/healthz   overall: started, not Set otherwise       200 DEGRADED      200 DRAINING
//
// What a status is made of, the strongest first: the stop of the server, [Checker.Set]
// of the service, Set of the whole, then the state of the server and its
// dependencies. The services are those registered on the server, by whichever
// dispatcher but [connectum.Server.System]; others of the same proto file are
// unknown.
//
// The answers are on Addr and on AdminAddr, outside interceptors, middleware,
// limits and metrics. Dependencies and their reasons are told on AdminAddr, to
// in-process callers and where [WithDetails] allows it; to everyone else the
// bare status.
//
// See https://github.com/grpc/grpc/blob/master/doc/health-checking.md and
// grpc/health/v1/health.proto.
package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/connectum-go/connectum"
)

// Status is whether something can take calls. The numbers are those of
// grpc.health.v1.
type Status int

// The statuses.
const (
	Unknown    Status = 0 // declared, but not said yet; not serving to all who ask
	Serving    Status = 1
	NotServing Status = 2
)

// String returns the name of grpc.health.v1, such as "NOT_SERVING".
func (s Status) String() string {
	switch s {
	case Unknown:
		return "UNKNOWN"
	case Serving:
		return "SERVING"
	case NotServing:
		return "NOT_SERVING"
	}
	return fmt.Sprintf("Status(%d)", int(s))
}

// Checker knows the health of one server. Its methods are safe for concurrent
// use, but for Add, which belongs to setting up.
type Checker struct {
	server   *connectum.Server
	details  bool
	watchers atomic.Int64

	mu           sync.Mutex // guards the below
	set          map[string]Status
	dependencies []*dependency
	services     []string // sorted; settled by the start or the first question
	settled      bool
	begun        bool // the start hook has run

	view   atomic.Pointer[view] // what all questions are answered from
	cancel context.CancelFunc   // ends the probes
	probes sync.WaitGroup
}

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

// Register gives srv the health service and the HTTP probes. Call it once for a
// server, before it runs, in any order with the services; a second call panics.
func Register(srv *connectum.Server, opts ...Option) *Checker {
	cfg := options{paths: Paths{Live: "/livez", Ready: "/readyz", Startup: "/startupz", Overall: "/healthz"}}
	for _, o := range opts {
		o.apply(&cfg)
	}
	c := &Checker{server: srv, details: cfg.details, set: map[string]Status{}}
	c.register(srv.System())
	c.handle(cfg.paths)
	srv.AddMetrics(c.metrics)
	srv.OnStart(c.start)
	srv.OnReady(c.ready)
	srv.OnStopping(c.stopping)
	return c
}

// Set overrides the status of a service, by its full name, or with the empty
// name that of the server and all services that are not Set themselves. It
// holds until the next Set or [Checker.Clear] of the name, whatever the
// dependencies say; only the stop of the server is stronger.
//
// A name without a dot that is no service is a component: Set makes it known,
// so that workers can be asked for what they do. The server as a whole is
// serving only while every service and component is.
//
// Set fails for a status that is none, for the name of a dependency, and for a
// dotted name that is no service of the server; before the start, when the
// services are not known yet, that is an error of the start instead.
func (c *Checker) Set(name string, s Status) error {
	if s < Unknown || s > NotServing {
		return fmt.Errorf("health: set %q: %v is no status", name, s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dependency(name) != nil {
		return fmt.Errorf("health: set %q: a dependency is what its probe says", name)
	}
	if c.begun && !c.settable(name) {
		return fmt.Errorf("health: set %q: the server has no such service", name)
	}
	if old, ok := c.set[name]; ok && old == s {
		return nil
	}
	c.set[name] = s
	c.publish()
	return nil
}

// Clear takes back what [Checker.Set] said of name; a component becomes unknown.
// Without a Set before it does nothing.
func (c *Checker) Clear(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.set[name]; ok {
		delete(c.set, name)
		c.publish()
	}
}

// Status returns the status of a service, a component or a dependency, or with
// the empty name of the server, and whether the name is known.
func (c *Checker) Status(name string) (Status, bool) {
	s, known, _ := c.look(name, true)
	return s, known
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

// settable reports whether Set may name it. The caller holds mu.
func (c *Checker) settable(name string) bool {
	return !strings.Contains(name, ".") || slices.Contains(c.services, name)
}

// start settles what is known now, and begins to probe.
func (c *Checker) start(context.Context) error {
	c.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c.set)) {
		if !c.settable(name) {
			faults = append(faults, fmt.Errorf("health: set %q: the server has no such service", name))
		}
	}
	for _, d := range c.dependencies {
		faults = append(faults, c.check(d))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	c.probe()
	return nil
}

// ready runs when calls are accepted.
func (c *Checker) ready(context.Context, net.Addr) { c.tell() }

// stopping runs when the stop begins: nobody needs to know the dependencies of
// a server that leaves.
func (c *Checker) stopping() {
	c.tell()
	c.end()
}

// tell wakes the watchers after the server's state has changed.
func (c *Checker) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish()
}
