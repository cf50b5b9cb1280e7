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

// Register gives srv the health service and the HTTP probes. Call it once for a
// server, before it runs, in any order with the services; a second call panics.
// A server that does not run, since another one has its [connectum.Server.Handler],
// is ready when [Checker.Set] says so of the empty name.
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
