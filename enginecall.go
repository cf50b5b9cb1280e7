package connectum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/internal/stack"
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
type EngineCall struct {
	call   call
	conn   *EngineConn
	stream EngineStream
	proc   *procedure // nil: the server has no such procedure
}

// Call begins a call of procedure ("/pkg.Service/Method"), one that the server
// does not have included. base is what its context descends from; it ends when
// the client has gone, or its deadline has passed. It belongs on the goroutine that
// serves the call, with few frames below it: it makes room on the stack.
func (c *EngineConn) Call(base context.Context, procedure string) *EngineCall {
	stack.Grow()
	s := c.server
	e := &EngineCall{conn: c, proc: s.byName[procedure], call: call{server: s, door: c.engine.Door, name: clip(procedure),
		base: base, conn: c.conn, tls: c.conn.TLS(), started: s.watch.tick(),
		writeStall: max(s.limits.WriteStall, 0), readStall: max(s.limits.ReadStall, 0)}}
	if p := e.proc; p != nil {
		e.call.name, e.call.kind, e.call.system = p.spec.Procedure, p.spec.StreamType, p.d.system
		e.call.readStall, e.call.writeStall, e.call.limit = p.limits.readStall, p.limits.writeStall, p.limits.timeout
	}
	return e
}

// Spec describes the procedure; it is zero, but for Procedure, when the server
// has none of that name.
func (e *EngineCall) Spec() connect.Spec {
	if e.proc == nil {
		return connect.Spec{Procedure: e.call.name}
	}
	return e.proc.spec
}

// Known reports whether the server has the procedure.
func (e *EngineCall) Known() bool { return e.proc != nil }

// MaxReceiveBytes is the bound of one request message after decompression, and
// MaxSendBytes of one answer as sent; zero is none. A message above either is
// answered resource_exhausted.
func (e *EngineCall) MaxReceiveBytes() int {
	if e.proc == nil {
		return max(e.conn.server.limits.MaxReceiveBytes, 0)
	}
	return e.proc.limits.receive
}

// MaxSendBytes is told at MaxReceiveBytes.
func (e *EngineCall) MaxSendBytes() int {
	if e.proc == nil {
		return max(e.conn.server.limits.MaxSendBytes, 0)
	}
	return e.proc.limits.send
}

// Received counts bytes of request messages, as they came, and Sent bytes of
// answers, as they are sent. They are safe for concurrent use.
func (e *EngineCall) Received(n int) { e.call.bytesIn.Add(int64(n)) }

// Alive tells that bytes of the request have come: the wait for more begins
// anew, see Limits.ReadStall. It is safe for concurrent use.
func (e *EngineCall) Alive() {
	if since := e.call.reading.Load(); since > 0 {
		e.call.reading.CompareAndSwap(since, e.conn.server.watch.tick())
	}
}

// Sent is told at Received.
func (e *EngineCall) Sent(n int) { e.call.bytesOut.Add(int64(n)) }

// Serve runs the interceptors and the handler, and returns what the client is to
// be told: nil for success. info describes the call; the engine fills it in. It
// must be called once, and recovers what handlers throw. When the handler ends
// its goroutine by runtime.Goexit, Serve does not return; see [EngineCall.Gone].
func (e *EngineCall) Serve(info *connect.CallInfo, stream EngineStream) (public *connect.Error) {
	c, s := &e.call, e.conn.server
	c.engine, e.stream = e, stream
	s.enter(c)
	e.conn.enterCall()
	defer func() {
		if thrown := recover(); thrown != nil {
			public = s.reportPanic(c, thrown)
		}
		c.finish()
		e.conn.leaveCall()
		s.leave(c)
	}()
	if t := c.tls; t != nil && len(t.PeerCertificates) > 0 && time.Now().After(t.PeerCertificates[0].NotAfter) {
		s.counters.refused.Add(1)
		e.conn.leave()
		return errExpired
	}
	d := e.dispatcher()
	if d == nil {
		return errNoProcedure
	}
	err := c.dispatch(d, e.proc, info, stream)
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
func (e *EngineCall) dispatcher() *dispatcher {
	if e.proc != nil {
		return e.proc.d
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(e.call.name, "/"), "/")
	return e.conn.server.door.dispatchers["/"+service+"/"]
}

// publicOf is what a client may know of an error that the guard did not make.
func publicOf(c *call, err error) *connect.Error {
	out, id := c.internal(err)
	c.server.counters.masked.Add(1)
	c.server.log().ErrorContext(context.WithoutCancel(c.base), "call failed", "call", c.name, "error_id", id, "error", clip(fmt.Sprint(err)))
	return out
}
