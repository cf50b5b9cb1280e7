package connectum

import (
	"context"
	"errors"

	"connectrpc.com/connect/v2"
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
	d := s.rpc
	if p := s.byName[spec.Procedure]; p != nil {
		d = p.d
	}
	if spec.StreamType != connect.StreamTypeUnary {
		return (*duplexClient)(newDuplex(ctx, d, spec, &call{server: s, door: DoorInProcess})), nil
	}
	st := &inprocessStream{call: call{server: s, door: DoorInProcess, base: ctx}}
	var err error
	st.ClientStream, err = d.inproc.NewClientStream((*doorContext)(&st.call), spec)
	return st, err
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

// inprocessStream is a unary call, in one piece with its client's side. It tells
// that what a network door would: of an error only what was made for it. The
// context of the client is the door's.
type inprocessStream struct {
	connect.ClientStream
	call call
}

func (st *inprocessStream) Send(msg any) error { return st.told(st.ClientStream.Send(msg)) }

func (st *inprocessStream) Receive(msg any) error { return st.told(st.ClientStream.Receive(msg)) }

func (st *inprocessStream) told(err error) error {
	if over := st.call.base.Err(); over != nil && (err == nil || isContextError(err) || isContextCode(connect.CodeOf(err))) {
		return contextError(over) // a handler may not have looked
	}
	if cut := st.call.cut.Load(); cut != nil && st.call.base.Err() == nil && errors.Is(err, context.Canceled) {
		return cut.WithRemote()
	}
	if e, ok := errors.AsType[*connect.Error](err); ok && e.IsRemote() {
		return asRemote(e)
	}
	return err
}
