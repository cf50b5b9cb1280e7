// Package grpcnative serves gRPC by the transport of grpc-go instead of
// net/http's, into the same procedures, interceptors and handlers: a gRPC call
// costs a fraction of the processor time.
//
//	srv := connectum.New(connectum.Config{Addr: ":5000"})
//	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//	grpcnative.Register(srv, grpcnative.Config{})
//
// Connections are recognised by their first request: those that begin with a
// gRPC call are served here, everything else on the port goes to net/http as
// before. See docs/grpcnative.md for what is different behind this door.
package grpcnative

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/connectum-go/connectum"
)

// DoorGRPC is the door of calls that came in here, as [connectum.DoorOf] tells it.
const DoorGRPC connectum.Door = "grpc"

// Config configures the engine. The zero value serves the gRPC connections of
// the server's own port.
type Config struct {
	// Addr is an address for gRPC alone, as connectum.Config.Addr; the server's
	// own port then has no part in it, and serves gRPC by net/http as before.
	// What is no gRPC is refused there, with HTTP status 415. The default is
	// none: connections of the server's own port.
	Addr string

	// PastMiddleware says that calls may come in past connectum.Config.Middleware,
	// which is made for HTTP and does not run around native calls. The default
	// is that a server with middleware does not start.
	PastMiddleware bool
}

// Register adds the engine to srv. It must be called before the server runs,
// once. Mistakes are start errors.
func Register(srv *connectum.Server, cfg Config) { register(srv, cfg, usable) }

func register(srv *connectum.Server, cfg Config, usable func(grpc.ServerTransportStream) error) {
	e := &engine{server: srv, own: cfg.Addr != "", usable: usable}
	out := connectum.Engine{Door: DoorGRPC, Addr: cfg.Addr, Serve: e.serve, PastMiddleware: cfg.PastMiddleware}
	if !e.own {
		out.Claims = e.claims
	}
	srv.AddEngine(out)
	srv.AddMetrics(e.metrics)
	srv.OnStart(e.fits)
}

// engine is what the connections of one server share.
type engine struct {
	server *connectum.Server
	own    bool // it has an address of its own
	usable func(grpc.ServerTransportStream) error
	once   onceOptions
	mixed  peers

	limited sync.Once
	bounds  connectum.Limits

	list       sync.Once
	procedures map[string]struct{}

	open, served, refused atomic.Int64
}

func (e *engine) metrics(yield func(connectum.Sample) bool) {
	_ = yield(connectum.Sample{Name: "connectum_grpcnative_connections", Help: "Open connections that the native gRPC engine serves.",
		Value: float64(e.open.Load())}) &&
		yield(connectum.Sample{Name: "connectum_grpcnative_connections_total", Help: "Connections that the native gRPC engine took.",
			Counter: true, Value: float64(e.served.Load())}) &&
		yield(connectum.Sample{Name: "connectum_grpcnative_refused_total",
			Help:    "Requests that only net/http can serve and that came over a connection of the native gRPC engine.",
			Counter: true, Value: float64(e.refused.Load())})
}

// claims reports whether a connection begins with a gRPC call.
func (e *engine) claims(c *connectum.EngineConn, block []byte) bool {
	if e.mixed.has(c.RemoteAddr()) {
		return false
	}
	v, err := newSniffer(of{c, e}, e.limits().MaxHeaderBytes).judge(block)
	return v == native && err == nil
}

// hasProcedure reports whether the server has a procedure.
func (e *engine) hasProcedure(name string) bool {
	e.list.Do(func() {
		e.procedures = map[string]struct{}{}
		for spec := range e.server.Procedures() {
			e.procedures[spec.Procedure] = struct{}{}
		}
	})
	_, ok := e.procedures[name]
	return ok
}

// serve serves one connection, by a grpc.Server of its own: that alone can be
// asked to end gracefully by itself.
func (e *engine) serve(ec *connectum.EngineConn) {
	e.open.Add(1)
	e.served.Add(1)
	defer e.open.Add(-1)
	c, gs := e.begin(ec)
	defer func() { _ = c.Close() }()
	_ = gs.Serve(&c.listener) // until the connection is closed, or leaves
	gs.Stop()
}

// begin makes the two of a connection. What it takes of the stack is given back:
// serve waits as long as the connection is there.
func (e *engine) begin(ec *connectum.EngineConn) (*conn, *grpc.Server) {
	c := newConn(e, ec)
	gs := grpc.NewServer(append(e.options(), grpc.InTapHandle(c.tap), grpc.UnknownServiceHandler(c.handle))...)
	c.alone = gs.GracefulStop
	ec.OnLeave(func() { c.leave(gs.GracefulStop) })
	return c, gs
}
