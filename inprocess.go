package connectum

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
)

// inprocess is the door without a socket.
type inprocess struct{ server *Server }

// NewClientStream implements [connect.Transport].
func (t inprocess) NewClientStream(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
	s := t.server
	if err := s.freeze(); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, "the server's configuration is wrong").WithCause(err)
	}
	if s.hasStopped() {
		return nil, errStopped.WithRemote()
	}
	p := s.byName[spec.Procedure]
	if spec.StreamType != connect.StreamTypeUnary {
		d := s.rpc
		if p != nil {
			d = p.d
		}
		return (*duplexClient)(newDuplex(ctx, d, spec, &call{server: s, door: DoorInProcess})), nil
	}
	u := &unary{proc: p, call: call{server: s, door: DoorInProcess, base: ctx}, info: connect.CallInfo{Spec: spec}}
	if u.client, _ = connect.CallInfoForClientContext(ctx); u.client != nil {
		u.client.Spec = spec
	}
	return u, nil
}

var errStopped = connect.NewError(connect.CodeUnavailable, "the server has stopped")

func (s *Server) hasStopped() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

// unary is one unary call through the in-process door, both of its sides in one
// piece. Its handler runs on the client's goroutine, within Receive. The context
// of the client is the door's.
//
// Connect's transport does the same. Here the call, what Connect tells of it and
// the ways to both sides are allocated together.
type unary struct {
	call   call
	proc   *procedure // nil: the server has no such procedure
	info   connect.CallInfo
	client *connect.CallInfo // nil when the client asked for none

	request, answer any
	sent, closed    bool // the client has sent its request, and closed sending
	received        bool

	state   atomic.Uint32 // of sending, see the bits
	waiting sync.Mutex    // guards arrived
	arrived chan struct{} // closed when sending is done; made when a receiver waits
}

const (
	sendingDone    uint32 = 1 << iota // there is a request, or there will be none
	sendingClosed                     // the client has given up
	sendingAwaited                    // arrived is, or will be, there
)

// unaryServer is the handler's side.
type unaryServer unary

// SendHeaders implements [connect.ServerStream].
func (s *unaryServer) SendHeaders() error { return nil }

// Receive implements [connect.ServerStream].
func (s *unaryServer) Receive(dst any) error {
	if s.request == nil {
		return io.EOF
	}
	if err := connectinprocess.ProtoCopy(dst, s.request); err != nil {
		return err
	}
	s.request = nil
	return nil
}

// Send implements [connect.ServerStream].
func (s *unaryServer) Send(msg any) error {
	s.answer = msg
	return nil
}

// SendHeaders implements [connect.ClientStream].
func (u *unary) SendHeaders() error { return nil }

// Send implements [connect.ClientStream].
func (u *unary) Send(msg any) error {
	switch {
	case u.closed:
		return u.told(io.EOF)
	case u.sent:
		return u.told(errors.New("connectum: in-process: a unary request has one message"))
	}
	u.sent, u.request = true, msg
	u.sending(sendingDone)
	return u.told(nil)
}

// CloseSend implements [connect.ClientStream].
func (u *unary) CloseSend() error {
	u.closed = true
	u.sending(sendingDone)
	return nil
}

// Close implements [connect.ClientStream].
func (u *unary) Close() error {
	u.sending(sendingDone | sendingClosed)
	return nil
}

// sending notes how sending has ended, and wakes a receiver that waits for it.
func (u *unary) sending(how uint32) {
	if u.state.Or(how)&(sendingAwaited|sendingDone) != sendingAwaited {
		return
	}
	u.waiting.Lock() // the receiver holds it until arrived is there
	defer u.waiting.Unlock()
	close(u.arrived)
}

// await waits until sending is done.
func (u *unary) await() error {
	switch state := u.state.Load(); {
	case state&sendingClosed != 0:
		return io.EOF
	case state&sendingDone != 0:
		return nil
	}
	u.waiting.Lock()
	u.arrived = make(chan struct{})
	done := u.state.Or(sendingAwaited)&sendingDone != 0
	u.waiting.Unlock()
	if !done {
		select {
		case <-u.arrived:
		case <-u.call.base.Done():
			return u.call.base.Err()
		}
	}
	if u.state.Load()&sendingClosed != 0 {
		return context.Canceled
	}
	return nil
}

// Receive implements [connect.ClientStream].
func (u *unary) Receive(dst any) error {
	if u.received {
		return u.told(io.EOF)
	}
	u.received = true
	if err := u.await(); err != nil {
		return u.told(err)
	}
	if err := u.serve(); err != nil {
		if e, ok := errors.AsType[*connect.Error](err); ok && !e.IsRemote() {
			return u.told(e.WithRemote())
		}
		return u.told(connect.NewError(connect.CodeInternal, "internal error").WithCause(err).WithRemote())
	}
	if u.answer == nil {
		return u.told(connect.NewError(connect.CodeUnimplemented, "unary stream has no message"))
	}
	err := connectinprocess.ProtoCopy(dst, u.answer)
	u.answer = nil
	return u.told(err)
}

// serve runs the chain and the handler, and gives the client the metadata of the
// answer.
func (u *unary) serve() (err error) {
	defer func() {
		if thrown := recover(); thrown != nil { // by an error that the guard has looked into
			err = u.call.server.reportPanic(&u.call, thrown)
		}
	}()
	if c := u.client; c != nil {
		copyHeader(u.info.RequestHeader(), c.RequestHeader())
	}
	d := u.call.server.rpc
	if u.proc != nil {
		d = u.proc.d
	}
	err = u.call.dispatch(d, u.proc, &u.info, (*unaryServer)(u))
	if c := u.client; c != nil {
		copyHeader(c.ResponseHeader(), u.info.ResponseHeader())
		copyHeader(c.ResponseTrailer(), u.info.ResponseTrailer())
	}
	return err
}

func copyHeader(dst, src *connect.Header) {
	if src.Len() == 0 {
		return
	}
	for key, values := range src.All() {
		dst.SetValues(key, values)
	}
}

// told makes of err what a network door would tell: of an error only what was
// made for clients.
func (u *unary) told(err error) error {
	if over := u.call.base.Err(); over != nil && (err == nil || isContextError(err) || isContextCode(connect.CodeOf(err))) {
		return contextError(over) // a handler may not have looked
	}
	if err == nil {
		return nil
	}
	if cut := u.call.cut.Load(); cut != nil && u.call.base.Err() == nil && errors.Is(err, context.Canceled) {
		return cut.WithRemote()
	}
	if e, ok := errors.AsType[*connect.Error](err); ok && e.IsRemote() {
		return asRemote(e)
	}
	return err
}
