package connectum

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/internal/wire"
)

// ErrServerClosed is returned by [Server.Run] and [Server.Serve] when the
// server was shut down before they were called, or has run before.
var ErrServerClosed = errors.New("connectum: server closed")

// Server serves RPC and plain HTTP on one port. It is set up by one goroutine,
// then runs once; State, Addr, InFlight, Metrics, Shutdown and Transport are
// safe for concurrent use at any time.
type Server struct {
	given    Config
	limits   Limits
	shutdown Shutdown
	tls      *certificates // nil: plaintext

	rpc, system   *dispatcher
	extra         []*dispatcher
	mux           *http.ServeMux // plain HTTP
	probes        *http.ServeMux // plain HTTP outside middleware and counts
	admin         *http.ServeMux
	engines       []*Engine
	patterns      []string // of mux and probes
	adminPatterns []string

	frozen  sync.Once
	settled atomic.Bool
	fault   error
	byName  map[string]*procedure
	ordered []*procedure
	door    *httpDoor

	infoKeys    infoKeys
	uncounted   messageCounts            // stands for those of calls that count none
	codecs      map[string]connect.Codec // for engines, by name
	compressors map[string]connect.Compressor

	calls    register
	flight   flight
	watch    watch
	budget   *budget
	counters counters
	loud     quota // of stacks in the log
	gauges   []func(yield func(Sample) bool)
	hooks    hooks

	mu    sync.Mutex // guards state and what Run makes
	state State
	addr  net.Addr

	engineAddrs map[Door]net.Addr

	connStats  func() wire.Stats
	closeEnded func(time.Duration) int
	onStart    []func(context.Context) error
	onReady    []func(context.Context, net.Addr)
	onStop     []func()
	logger     atomic.Pointer[slog.Logger]
	leaving    atomic.Bool
	draining   chan struct{} // closed when streams are told to end
	stopping   chan struct{} // closed when the stop is asked for
	forced     chan struct{} // closed to skip what is left of the wait
	stopped    chan struct{} // closed when calls have ended
	ended      chan struct{} // closed when Run is about to return
	asking     sync.Once
	forcing    sync.Once
	result     error
}

// RPC returns the dispatcher that services are registered on: pass it to the
// generated Register functions before the server runs. Registering later is a
// data race.
func (s *Server) RPC() *connect.Server { return s.rpc.connect }

// With returns a further dispatcher whose procedures run through extra as well,
// inside the interceptors of the configuration. It must be called before the
// server runs.
func (s *Server) With(extra ...Interceptor) *connect.Server {
	s.mustBeOpen("With")
	var names []string
	for _, i := range extra {
		names = append(names, i.Name)
	}
	d := s.newDispatcher("With("+strings.Join(names, ", ")+")", slices.Concat(s.given.Interceptors, extra))
	s.extra = append(s.extra, d)
	return d.connect
}

// System returns the dispatcher for infrastructure, such as health: outside
// the interceptors of the configuration, the limits and the count of calls in
// flight. Its procedures answer on AdminAddr too. They are recovered and
// masked like all others, and told of the drain by [Draining].
func (s *Server) System() *connect.Server { return s.system.connect }

// Handle serves plain HTTP beside the RPCs, by the patterns of
// [http.ServeMux]; procedures have precedence. It panics on a pattern that is
// taken, and once the server has been set up. A handler that Connect v1
// generated mounts here as it is; it runs outside the interceptors, and its
// errors reach clients as they are.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mustBeOpen("Handle")
	s.mux.Handle(pattern, h)
	s.patterns = append(s.patterns, pattern)
}

// HandleSystem is [Server.Handle] for infrastructure, such as the probes of an
// orchestrator: outside the middleware, the limits and the count of calls in
// flight, and on AdminAddr too.
func (s *Server) HandleSystem(pattern string, h http.Handler) {
	s.mustBeOpen("HandleSystem")
	s.probes.Handle(pattern, h)
	s.patterns = append(s.patterns, pattern)
}

// HandleAdmin serves plain HTTP on AdminAddr alone. Without AdminAddr it is a
// start error.
func (s *Server) HandleAdmin(pattern string, h http.Handler) {
	s.mustBeOpen("HandleAdmin")
	s.admin.Handle(pattern, h)
	s.adminPatterns = append(s.adminPatterns, pattern)
}

// Handler returns everything the server answers on Addr as one handler, to
// embed in another server. It settles the configuration, as [Server.Check]
// does, and panics with its report when that is wrong.
//
// What belongs to connections is then the other server's: TLS and its
// reload, stall deadlines, the limits of connections and headers, connection
// age and the graceful drain. Run must not be called, so OnStart and OnReady
// callbacks do not run; [Server.Shutdown] runs the shutdown hooks.
func (s *Server) Handler() http.Handler {
	if err := s.freeze(); err != nil {
		panic(err)
	}
	return s.door
}

// Transport returns a transport that calls the server in-process, through the
// same interceptors and handlers, without a socket or an encoding. It works
// without Run and while the server runs; once the server has stopped, calls end
// as unavailable. The first call settles the configuration, as [Server.Check]
// does.
func (s *Server) Transport() connect.Transport { return inprocess{s} }

// Procedures yields what is registered on every dispatcher, infrastructure
// last.
func (s *Server) Procedures() iter.Seq[connect.Spec] {
	return func(yield func(connect.Spec) bool) {
		for _, d := range s.dispatchers() {
			for spec := range d.connect.Specs() {
				if !yield(spec) {
					return
				}
			}
		}
	}
}

// Chain returns the names of the interceptors around procedure
// ("/pkg.Service/Method"), outermost first, or nil when the server has no such
// procedure. It settles the configuration, as [Server.Check] does.
func (s *Server) Chain(procedure string) []string {
	if s.freeze() != nil || s.byName[procedure] == nil {
		return nil
	}
	return append([]string{"guard"}, s.byName[procedure].names...)
}

// InFlight returns the number of calls in flight: RPCs by every door and
// plain HTTP, without infrastructure.
func (s *Server) InFlight() int { return int(s.flight.count()) }

// Logger returns the logger of the configuration, for what is built on the
// server to log to. It is settled by the first call, or when the server starts.
// It is safe for concurrent use.
func (s *Server) Logger() *slog.Logger { return s.log() }

func (s *Server) newDispatcher(label string, chain []Interceptor) *dispatcher {
	d := &dispatcher{server: s, label: label, chain: chain}
	d.connect = connect.NewServer(d.slot)
	return d
}

func (s *Server) dispatchers() []*dispatcher {
	return append(append([]*dispatcher{s.rpc}, s.extra...), s.system)
}

func (s *Server) mustBeOpen(method string) {
	if s.settled.Load() {
		panic("connectum: " + method + " must be called before the server runs, and before Check, Handler and the first in-process call")
	}
}

// freeze settles the configuration once: procedures and interceptors are
// bound, routes made, files read, every mistake reported.
func (s *Server) freeze() error {
	s.frozen.Do(func() {
		faults := []error{s.check(), s.checkEngines(), s.hooks.check()}
		certs, err := newCertificates(s)
		faults = append(faults, err)
		s.tls = certs
		s.byName = map[string]*procedure{}
		for _, d := range s.dispatchers() {
			procedures, err := d.bind()
			faults = append(faults, err)
			for _, p := range procedures {
				if other := s.byName[p.spec.Procedure]; other != nil {
					faults = append(faults, fmt.Errorf("connectum: %s is registered on %s and on %s",
						p.spec.Procedure, other.d.label, d.label))
					continue
				}
				s.byName[p.spec.Procedure] = p
				s.ordered = append(s.ordered, p)
			}
		}
		faults = append(faults, s.bound(s.ordered), s.checkPatterns())
		if s.fault = errors.Join(faults...); s.fault == nil {
			s.door = s.newHTTPDoor(s.ordered)
		}
		s.settled.Store(true)
	})
	return s.fault
}

// checkPatterns finds limits for procedures that do not exist, and plain HTTP
// that a procedure would hide.
func (s *Server) checkPatterns() error {
	var faults []error
	for pattern := range s.limits.PerProcedure {
		if validPattern(pattern) && !slices.ContainsFunc(s.ordered, func(p *procedure) bool { return matches(pattern, p.spec.Procedure) }) {
			faults = append(faults, fmt.Errorf("connectum: Config.Limits.PerProcedure[%q] matches no procedure of the server", pattern))
		}
	}
	for _, pattern := range s.patterns {
		path := pattern[strings.IndexByte(pattern, '/'):]
		if s.byName[path] != nil {
			faults = append(faults, fmt.Errorf("connectum: Handle(%q) is hidden by the procedure of that path", pattern))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

func (s *Server) log() *slog.Logger {
	if l := s.logger.Load(); l != nil {
		return l
	}
	l := s.given.Logger
	if l == nil {
		l = slog.Default()
	}
	s.logger.CompareAndSwap(nil, l)
	return l
}
