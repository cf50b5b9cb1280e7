package resilience

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"connectrpc.com/connect/v2"
)

// replay is the client's side of a unary call whose request is kept until the
// answer is asked for, so that it can be sent any number of times, or never.
type replay struct {
	ctx  context.Context
	info *connect.CallInfo
	req  any
	sent bool
	done bool
	shut atomic.Bool
	// do makes the call; res is where the answer belongs.
	do func(ctx context.Context, info *connect.CallInfo, req, res any) error
}

// unary returns the stream of a unary call that do makes.
func unary(ctx context.Context, do func(ctx context.Context, info *connect.CallInfo, req, res any) error) *replay {
	info, ok := connect.CallInfoForClientContext(ctx)
	if !ok {
		ctx, info = connect.NewClientContext(ctx)
	}
	return &replay{ctx: ctx, info: info, do: do}
}

func (r *replay) SendHeaders() error { return nil }

func (r *replay) Send(msg any) error {
	if r.sent {
		return errors.New("resilience: a unary call sends one message")
	}
	r.req, r.sent = msg, true
	return nil
}

func (r *replay) CloseSend() error { return nil }

func (r *replay) Receive(msg any) error {
	if r.done {
		return io.EOF
	}
	r.done = true
	if r.shut.Load() {
		return connect.NewError(connect.CodeCanceled, "the call was closed before it was made")
	}
	return r.do(r.ctx, r.info, r.req, msg)
}

// Close abandons a call that has not been made. One that is being made ends with
// its context.
func (r *replay) Close() error {
	r.shut.Store(true)
	return nil
}

// attempt makes one whole unary call through next with metadata of its own, as
// the transport writes into it and attempts may overlap. Its verdict is told
// as a caller would see it, but that a reset by the peer is unavailable.
func attempt(ctx context.Context, spec connect.Spec, next connect.ClientFunc, outer *connect.CallInfo, req, res any) (*connect.CallInfo, error) {
	ctx, info := connect.NewClientContext(ctx)
	if ctx.Err() != nil { // which a transport without a network would not look at
		return info, endOf(ctx, nil)
	}
	for key, values := range outer.RequestHeader().All() {
		info.RequestHeader().SetValues(key, append([]string(nil), values...))
	}
	return info, translate(ctx, exchange(ctx, spec, next, req, res))
}

// exchange makes one whole unary call through next.
func exchange(ctx context.Context, spec connect.Spec, next connect.ClientFunc, req, res any) (err error) {
	stream, err := next(ctx, spec)
	if err != nil {
		return err
	}
	defer func() {
		if closing := stream.Close(); err == nil {
			err = closing
		}
	}()
	// After io.EOF the verdict is what Receive returns.
	if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return stream.Receive(res)
}

// adopt gives the caller what an attempt learnt.
func adopt(outer, info *connect.CallInfo) {
	outer.Spec, outer.PeerAddr, outer.Protocol, outer.Codec = info.Spec, info.PeerAddr, info.Protocol, info.Codec
	outer.RequestEncoding, outer.ResponseEncoding = info.RequestEncoding, info.ResponseEncoding
	outer.SendStats, outer.ReceiveStats, outer.TransportInfo = info.SendStats, info.ReceiveStats, info.TransportInfo
	for key, values := range info.ResponseHeader().All() {
		outer.ResponseHeader().SetValues(key, values)
	}
	for key, values := range info.ResponseTrailer().All() {
		outer.ResponseTrailer().SetValues(key, values)
	}
}
