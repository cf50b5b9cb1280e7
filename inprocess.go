package connectum

import (
	"context"
	"errors"
	"io"

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
	select {
	case <-s.stopped:
		return nil, connect.NewError(connect.CodeUnavailable, "the server has stopped").WithRemote()
	default:
	}
	c := &call{server: s, door: DoorInProcess, base: ctx}
	d := s.rpc
	if p := s.byName[spec.Procedure]; p != nil {
		d = p.d
	}
	if spec.StreamType == connect.StreamTypeUnary {
		c.hangUp = func() {}
		stream, err := d.inproc.NewClientStream((*doorContext)(c), spec)
		return &inprocessStream{ClientStream: stream, call: c, ctx: ctx}, err
	}
	// A stream waits on the door's context, so ending the call from outside
	// has to end that.
	base, cancel := context.WithCancel(ctx)
	c.base, c.hangUp = base, cancel
	stream, err := d.inproc.NewClientStream((*doorContext)(c), spec)
	if err != nil {
		cancel()
		return nil, err
	}
	return &inprocessStream{ClientStream: stream, call: c, ctx: ctx, oneRequest: spec.StreamType == connect.StreamTypeServer}, nil
}

// inprocessStream tells a client what a network door would: why its call was
// ended from outside, and of an error only what was made for it.
type inprocessStream struct {
	connect.ClientStream
	call       *call
	ctx        context.Context
	oneRequest bool // a server stream
}

func (st *inprocessStream) Send(msg any) error {
	err := st.told(st.ClientStream.Send(msg))
	if st.oneRequest && errors.Is(err, io.EOF) {
		return nil // ended before it read its request; Receive tells why
	}
	return err
}

func (st *inprocessStream) Receive(msg any) error {
	err := st.told(st.ClientStream.Receive(msg))
	if err != nil {
		st.call.hangUp()
	}
	return err
}

func (st *inprocessStream) Close() error {
	defer st.call.hangUp()
	return st.ClientStream.Close()
}

func (st *inprocessStream) told(err error) error {
	if cut := st.call.cut.Load(); cut != nil && st.ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return cut.WithRemote()
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || !e.IsRemote() {
		return err
	}
	public := connect.NewError(e.Code(), e.Message()).WithRemote() // without its cause
	for _, d := range e.Details() {
		public = public.WithDetail(d)
	}
	return public
}
