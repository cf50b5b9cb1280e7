// Package connectum is a server for gRPC and ConnectRPC services: every
// protocol and HTTP version on one port, safe limits from the first line, an
// explicit lifecycle, and deploys that lose no call.
//
//	func main() {
//		srv := connectum.New(connectum.Config{Addr: ":5000"})
//		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//		connectum.Main(srv)
//	}
//
// Services are registered once on a Connect dispatcher, and every door feeds
// the same chain of interceptors and the same handlers:
//
//	client ─► door ──────────► guard ─► interceptors ─► handler
//	          http    Connect, gRPC-Web, gRPC, plain HTTP; HTTP/1.1, HTTP/2, TLS
//	          inproc  [Server.Transport]: no socket, no encoding
//
// The guard is the server's own, outermost on every dispatcher: it recovers
// panics, keeps errors that were not made for clients from them, bounds the
// time of unary calls and the number in flight. Whatever else runs around a
// handler is an [Interceptor], bound once per procedure before serving.
//
// A server runs once: [Server.Run] starts it and stops it in a fixed order
// that is drawn at [Server.Shutdown].
package connectum

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
)

// Config configures a [Server]. The zero value serves plaintext HTTP/1.1 and
// HTTP/2 on port 5000 of every address. New copies it.
type Config struct {
	// Addr is the address to listen on, as for [net.Listen] with "tcp", or
	// "unix:///path" for a Unix socket. Port 0 picks a free port, which
	// [Server.Addr] then tells. The default is ":5000".
	Addr string

	// AdminAddr is the address of a second, plaintext listener for what
	// strangers must not see: metrics, profiles. Infrastructure services
	// (health) answer on it too. It closes last, after the shutdown hooks.
	// Keep it on the loopback or a private address. The default is none.
	AdminAddr string

	// TLS turns on TLS. The default is plaintext.
	TLS TLS

	// Interceptors run around every procedure of [Server.RPC], the first
	// outermost, all of them inside the server's own guard. Package
	// interceptor assembles the usual chain. The default is none.
	Interceptors []Interceptor

	// Middleware wraps everything HTTP on Addr, the first outermost, but for
	// infrastructure ([Server.System] and [Server.HandleSystem]).
	// The default is none.
	Middleware []func(http.Handler) http.Handler

	// Codecs are offered beside protobuf and JSON. One named "proto" or
	// "json" takes the place of that codec; its limits stay.
	// The default is none.
	Codecs []connect.Codec

	// Compressors are offered beside gzip, the most preferred first. One
	// named "gzip" takes its place. The default is none.
	Compressors []connect.Compressor

	// AllowGET answers Connect's GET requests for procedures without side
	// effects. Such requests can be sent by any web page a user visits, with
	// the user's cookies, so the default is to answer them 405.
	AllowGET bool

	// Limits bounds what clients may use. The zero value is safe.
	Limits Limits

	// Shutdown bounds and shapes the stop. The zero value is safe.
	Shutdown Shutdown

	// Logger receives the server's own log lines. The default is
	// [slog.Default], looked up when the server starts.
	Logger *slog.Logger
}

// New returns a server for cfg. It never fails: mistakes in cfg are reported
// together, each naming its field, by [Server.Check] and [Server.Run].
func New(cfg Config) *Server {
	cfg.Interceptors = slices.Clone(cfg.Interceptors)
	cfg.Middleware = slices.Clone(cfg.Middleware)
	cfg.Codecs = slices.Clone(cfg.Codecs)
	cfg.Compressors = slices.Clone(cfg.Compressors)
	cfg.TLS = cfg.TLS.clone()
	cfg.Limits = cfg.Limits.clone()

	s := &Server{
		given:    cfg,
		limits:   cfg.Limits.withDefaults(),
		shutdown: cfg.Shutdown.withDefaults(),
		mux:      http.NewServeMux(),
		admin:    http.NewServeMux(),
		probes:   http.NewServeMux(),
		draining: make(chan struct{}),
		stopping: make(chan struct{}),
		forced:   make(chan struct{}),
		stopped:  make(chan struct{}),
		ended:    make(chan struct{}),
	}
	s.budget = newBudget(s.limits.DecodeBudget)
	s.flight.idle = make(chan struct{}, 1)
	s.learnInfoKeys()
	s.rpc = s.newDispatcher("RPC", cfg.Interceptors)
	s.system = s.newDispatcher("System", nil)
	s.system.system = true
	return s
}

// Check reports every mistake in the configuration, the registered
// procedures, interceptors and hooks, or nil. It reads the files that TLS
// names. Call it after everything is registered: it binds the interceptors,
// and what is registered later is refused by [Server.Run]. Run calls it too.
// It is safe for concurrent use.
func (s *Server) Check() error {
	return s.freeze()
}

// check reports the mistakes of the configuration alone.
func (s *Server) check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("connectum: "+format, args...))
	}
	cfg := &s.given
	if err := checkAddr(cfg.Addr); err != nil {
		fault("Config.Addr: %w", err)
	}
	if err := checkAddr(cfg.AdminAddr); err != nil {
		fault("Config.AdminAddr: %w", err)
	}
	if cfg.AdminAddr != "" && cfg.AdminAddr == cmp.Or(cfg.Addr, defaultAddr) && !strings.HasSuffix(cfg.Addr, ":0") {
		fault("Config.AdminAddr is %q, which Addr has: give it a port of its own", cfg.AdminAddr)
	}
	if cfg.AdminAddr == "" && len(s.adminPatterns) > 0 {
		fault("Config.AdminAddr is empty, but HandleAdmin has %s: set AdminAddr, for example to \"localhost:9090\"",
			strings.Join(s.adminPatterns, ", "))
	}
	for i, m := range cfg.Middleware {
		if m == nil {
			fault("Config.Middleware[%d] is nil", i)
		}
	}
	for i, c := range cfg.Codecs {
		if c == nil || c.Name() == "" {
			fault("Config.Codecs[%d] is nil or has no name", i)
		}
	}
	for i, c := range cfg.Compressors {
		if c == nil || c.Name() == "" {
			fault("Config.Compressors[%d] is nil or has no name", i)
		}
	}
	for _, err := range s.given.Limits.check() {
		fault("Config.Limits.%w", err)
	}
	for _, err := range s.given.Shutdown.check() {
		fault("Config.Shutdown.%w", err)
	}
	return errors.Join(faults...)
}
