package connectum

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/internal/wire"
)

// Engine serves whole HTTP/2 connections in place of net/http: a door of its
// own, into the same procedures. Everything below it is the server's, as for
// net/http: TLS, its reload and its handshake timeout, the limits of connections
// and frames, connection age, the stop. So is everything above it, from
// [EngineConn.Call] on. Package grpcnative is one.
type Engine struct {
	// Door is the name of the engine, which [DoorOf] returns for its calls.
	Door Door

	// Addr is an address of the engine's own, as Config.Addr. The default is
	// none: the engine gets connections of Config.Addr by its Claims.
	Addr string

	// Claims reports whether the engine serves a connection of Config.Addr,
	// by the header block of its first request: RFC 7541, without a dynamic
	// table yet. Everything on the connection is then the engine's; all else
	// goes to net/http. c must not be read or written here. The first engine
	// that claims a connection has it. It is called by one goroutine for each
	// connection, and not for HTTP/1.1. It may be nil when there is an Addr.
	Claims func(c *EngineConn, block []byte) bool

	// Serve serves a connection, from the client's preface on, and closes it.
	// It must return soon after c was closed, by whomever.
	Serve func(c *EngineConn)

	// PastMiddleware says that calls may come in past Config.Middleware, which
	// is made for HTTP handlers and does not run here. Without it a server that
	// has middleware does not start with an engine.
	PastMiddleware bool
}

// AddEngine adds an engine. It must be called before the server runs; mistakes
// in e are start errors.
func (s *Server) AddEngine(e Engine) {
	s.mustBeOpen("AddEngine")
	s.engines = append(s.engines, &e)
}

// Limits returns the limits in force, with every default in its place; negative
// values mean none. The caller must not change PerProcedure.
func (s *Server) Limits() Limits { return s.limits }

// checkEngines reports the mistakes of engines.
func (s *Server) checkEngines() error {
	var faults []error
	fault := func(e *Engine, format string, args ...any) {
		faults = append(faults, fmt.Errorf("connectum: AddEngine %q: "+format, append([]any{string(e.Door)}, args...)...))
	}
	for i, e := range s.engines {
		if e.Door == "" || e.Door == DoorHTTP || e.Door == DoorInProcess ||
			slices.ContainsFunc(s.engines[:i], func(o *Engine) bool { return o.Door == e.Door }) {
			fault(e, "Door must be a name of its own")
		}
		if e.Serve == nil {
			fault(e, "Serve is nil")
		}
		if e.Addr == "" && e.Claims == nil {
			fault(e, "without Addr it needs Claims")
		}
		if err := checkAddr(e.Addr); err != nil {
			fault(e, "Addr: %w", err)
		}
		if len(s.given.Middleware) > 0 && !e.PastMiddleware {
			fault(e, "Config.Middleware does not run around its calls: use interceptors, or allow it (PastMiddleware)")
		}
	}
	return errors.Join(faults...)
}

// EngineConn is a connection that an [Engine] serves: TLS, if there is any, has
// ended. Its methods are safe for concurrent use as those of [net.Conn] are.
type EngineConn struct {
	server *Server
	engine *Engine
	conn   *wire.Conn

	mu      sync.Mutex
	calls   int // in flight
	told    bool
	onLeave func()
}

func (s *Server) newEngineConn(c *wire.Conn, e *Engine) *EngineConn {
	return &EngineConn{server: s, engine: e, conn: c}
}

// Read implements [net.Conn].
func (c *EngineConn) Read(p []byte) (int, error) { return c.conn.Read(p) }

// Write implements [net.Conn]. It fails when the client has taken no byte for
// Limits.WriteStall.
func (c *EngineConn) Write(p []byte) (int, error) {
	if stall := c.server.limits.WriteStall; stall > 0 {
		_ = c.conn.SetWriteDeadline(time.Now().Add(stall))
	}
	return c.conn.Write(p)
}

// Close implements [net.Conn].
func (c *EngineConn) Close() error { return c.conn.Close() }

// LocalAddr implements [net.Conn].
func (c *EngineConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr implements [net.Conn].
func (c *EngineConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline implements [net.Conn]: for reading. How long a write may take is
// the server's.
func (c *EngineConn) SetDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetReadDeadline implements [net.Conn]. It also ends a Read under way.
func (c *EngineConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline implements [net.Conn] and does nothing: see Write.
func (c *EngineConn) SetWriteDeadline(time.Time) error { return nil }

// TLS returns the state of the TLS connection, or nil on plaintext and before
// the handshake. It is shared and must not be changed.
func (c *EngineConn) TLS() *tls.ConnectionState { return c.conn.TLS() }

// Server returns the server that the connection belongs to.
func (c *EngineConn) Server() *Server { return c.server }

// OnLeave has f called, in a goroutine of its own and at most once, when the
// client is to be asked to leave, by GOAWAYs that lose no call: the server
// drains, or the connection has reached its age. Calls go on being served, and
// the engine closes the connection when there are none.
func (c *EngineConn) OnLeave(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onLeave = f
	if c.told {
		go f()
	}
}

func (c *EngineConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.told && c.onLeave != nil {
		go c.onLeave()
	}
	c.told = true
}

// Ask asks the client, by a GOAWAY between two frames of what the engine writes,
// to open further streams over another connection. Those that it opens meanwhile
// are served. Only the first call counts.
func (c *EngineConn) Ask() { c.conn.Ask() }

// Reset ends a stream, by a RST_STREAM between two frames of what the engine
// writes.
func (c *EngineConn) Reset(stream, code uint32) { c.conn.Reset(stream, code) }

// Codec returns the codec that the server has for a name ("proto", "json", one
// of Config.Codecs), held to the limits of the call whose message it decodes, or
// nil. [EngineStream] says how it is used.
func (c *EngineConn) Codec(name string) connect.Codec { return c.server.codecs[name] }

// Compressor returns the compressor that the server has for a name ("gzip", one
// of Config.Compressors), or nil.
func (c *EngineConn) Compressor(name string) connect.Compressor { return c.server.compressors[name] }

// DefaultGzip reports whether "gzip" is the server's own, and none of
// Config.Compressors.
func (c *EngineConn) DefaultGzip() bool {
	return !slices.ContainsFunc(c.server.given.Compressors, func(o connect.Compressor) bool { return o.Name() == connect.CompressionNameGzip })
}

// claimed reports whether the engine serves the connection. One that panics over a
// stranger's bytes does not.
func (c *EngineConn) claimed(block []byte) bool {
	defer c.recover()
	return c.engine.Claims(c, block)
}

// serve serves the connection until it ends.
func (c *EngineConn) serve() {
	c.conn.Engage(c.leave) // idle, but for the request that it was claimed by
	defer func() { _ = c.conn.Close() }()
	defer c.recover()
	c.engine.Serve(c)
}

// recover must be deferred as it is.
func (c *EngineConn) recover() {
	if thrown := recover(); thrown != nil {
		c.server.log().Error("engine panicked", "door", string(c.engine.Door), "panic", clip(fmt.Sprint(thrown)))
	}
}

// enterCall and leaveCall keep the register: a connection with a call is not idle.
func (c *EngineConn) enterCall() {
	c.mu.Lock() // or a call that begins could be overtaken by one that ends
	defer c.mu.Unlock()
	if c.calls++; c.calls == 1 {
		c.conn.Become(true)
	}
}

func (c *EngineConn) leaveCall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls--; c.calls == 0 {
		c.conn.Become(false)
	}
}

// listenEngines opens the addresses of the engines, and returns what they and l
// accept as one listener.
func (s *Server) listenEngines(ctx context.Context, l net.Listener) (net.Listener, error) {
	all := &listeners{main: l}
	addrs := map[Door]net.Addr{}
	for i, e := range s.engines {
		if e.Addr == "" {
			continue
		}
		own, err := listen(ctx, e.Addr)
		if err != nil {
			all.closeOwn()
			return nil, fmt.Errorf("connectum: engine %q: %w", e.Door, err)
		}
		addrs[e.Door] = own.Addr()
		all.own = append(all.own, own)
		all.tags = append(all.tags, i+1)
	}
	if len(all.own) == 0 {
		return l, nil
	}
	s.mu.Lock()
	s.engineAddrs = addrs
	s.mu.Unlock()
	all.begin()
	return all, nil
}

// EngineAddr returns the address that an engine with an Addr of its own listens
// on, with the port that was picked for port 0, or nil.
func (s *Server) EngineAddr(d Door) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engineAddrs[d]
}

// engineNames are for the log.
func (s *Server) engineNames() string {
	var names []string
	for _, e := range s.engines {
		name := string(e.Door)
		if e.Addr != "" {
			name += " on " + e.Addr
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
