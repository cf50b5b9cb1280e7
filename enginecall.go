package connectum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
)

// EngineStream carries the messages of one call of an [Engine].
//
// Its Receive gets what stands for the message of the handler, and gives it to
// UnmarshalRead of a codec of [EngineConn.Codec], with a reader that has a Len
// method and holds the message, decompressed. Its Send encodes the message
// itself by such a codec. Errors that it makes for clients are *connect.Error;
// whatever else it returns is kept from them.
type EngineStream interface {
	connect.ServerStream

	// Interrupt ends a Receive, or a Send, that waits for the client, and all
	// later ones; the call then answers by what its Serve returns, if the client
	// still takes an answer. It is called from outside the call, at any time
	// until Serve returns, perhaps more than once.
	Interrupt(receive, send bool)
}

// EngineCall is a call that came in by an [Engine].
type EngineCall call

// Call begins a call of procedure ("/pkg.Service/Method"), one that the server
// does not have included. base is what its context descends from; it ends when
// the client has gone, or its deadline has passed.
func (c *EngineConn) Call(base context.Context, procedure string) *EngineCall {
	s := c.server
	out := &call{server: s, door: c.engine.Door, name: procedure, base: base, via: c, conn: c.conn, tls: c.conn.TLS(),
		started: s.watch.tick(), writeStall: max(s.limits.WriteStall, 0), readStall: max(s.limits.ReadStall, 0)}
	if p := s.byName[procedure]; p != nil {
		l := &p.limits
		out.target, out.name, out.kind, out.system = p, p.spec.Procedure, p.spec.StreamType, p.d.system
		out.readStall, out.writeStall, out.limit = l.readStall, l.writeStall, l.timeout
	} else {
		out.name = "unknown " + clip(procedure)
	}
	return (*EngineCall)(out)
}

// Spec describes the procedure; it is zero, but for Procedure, when the server
// has none of that name.
func (e *EngineCall) Spec() connect.Spec {
	if e.target == nil {
		return connect.Spec{Procedure: strings.TrimPrefix(e.name, "unknown ")}
	}
	return e.target.spec
}

// MaxReceiveBytes is the bound of one request message after decompression, and
// MaxSendBytes of one answer as sent; zero is none. A message above either is
// answered resource_exhausted.
func (e *EngineCall) MaxReceiveBytes() int {
	if e.target == nil {
		return max(e.server.limits.MaxReceiveBytes, 0)
	}
	return e.target.limits.receive
}

// MaxSendBytes is told at MaxReceiveBytes.
func (e *EngineCall) MaxSendBytes() int {
	if e.target == nil {
		return max(e.server.limits.MaxSendBytes, 0)
	}
	return e.target.limits.send
}

// Received counts bytes of request messages, as they came, and Sent bytes of
// answers, as they are sent. They are safe for concurrent use.
func (e *EngineCall) Received(n int) { e.bytesIn.Add(int64(n)) }

// Alive tells that bytes of the request have come: the wait for more begins
// anew, see Limits.ReadStall. It is safe for concurrent use.
func (e *EngineCall) Alive() {
	if since := e.reading.Load(); since > 0 {
		e.reading.CompareAndSwap(since, e.server.watch.tick())
	}
}

// Sent is told at Received.
func (e *EngineCall) Sent(n int) { e.bytesOut.Add(int64(n)) }

// Serve runs the interceptors and the handler, and returns what the client is to
// be told: nil for success. info describes the call; the engine fills it in. It
// must be called once, and recovers what handlers throw. When the handler ends
// its goroutine by runtime.Goexit, Serve does not return; see [EngineCall.Gone].
func (e *EngineCall) Serve(info *connect.CallInfo, stream EngineStream) (public *connect.Error) {
	c := (*call)(e)
	s := c.server
	c.engine = stream
	s.enter(c)
	c.via.enterCall()
	defer func() {
		if thrown := recover(); thrown != nil {
			public = s.reportPanic(c, thrown)
		}
		c.finish()
		c.via.leaveCall()
		s.leave(c)
	}()
	if t := c.tls; t != nil && len(t.PeerCertificates) > 0 && time.Now().After(t.PeerCertificates[0].NotAfter) {
		s.counters.refused.Add(1)
		c.via.leave()
		return errExpired
	}
	d := c.dispatcher()
	if d == nil {
		return errNoProcedure
	}
	err := d.connect.Call((*doorContext)(c), info.Spec.Procedure, info, stream)
	if err == nil {
		return nil
	}
	if told, ok := errors.AsType[*connect.Error](err); ok && !told.IsRemote() {
		return told
	}
	return publicOf(c, err)
}

var (
	errExpired     = connect.NewError(connect.CodeUnauthenticated, "the client certificate has expired")
	errNoProcedure = connect.NewError(connect.CodeUnimplemented, "the server has no such procedure")
	errGone        = connect.NewError(connect.CodeInternal, "internal error")
)

// Gone is what to tell the client when Serve did not return.
func (e *EngineCall) Gone() *connect.Error { return errGone }

// dispatcher returns the one that knows the procedure, or at least its service.
func (c *call) dispatcher() *dispatcher {
	if c.target != nil {
		return c.target.d
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(c.name, "unknown /"), "/")
	return c.server.door.dispatchers["/"+service+"/"]
}

// publicOf is what a client may know of an error that the guard did not make.
func publicOf(c *call, err error) *connect.Error {
	out, id := c.internal(err)
	c.server.counters.masked.Add(1)
	c.server.log().ErrorContext(context.WithoutCancel(c.base), "call failed", "call", c.name, "error_id", id, "error", clip(fmt.Sprint(err)))
	return out
}
