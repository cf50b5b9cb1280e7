package connectum

import (
	"context"
	"errors"
	"os"

	"connectrpc.com/connect/v2"
)

// Outcome returns the code that the client of a call is told when the chain
// inside an interceptor returned err: the server keeps errors that were not made
// for clients from them, and a call that was ended from outside, or whose time
// is up, ends as such whatever its handler made of it. 0 is success. ctx is the
// context that the interceptor was called with; for one that belongs to no call
// of a [Server] the verdict goes by ctx and err alone.
//
// It is for interceptors that report on calls, once the rest of the chain has
// returned.
func Outcome(ctx context.Context, err error) connect.Code {
	c := callOf(ctx)
	if c != nil && c.parent == nil { // not an RPC
		c = nil
	}
	if err == nil {
		if c != nil && c.streams&connect.StreamTypeServer != 0 && c.expired() != nil {
			return connect.CodeDeadlineExceeded
		}
		return 0
	}
	authored, _ := errors.AsType[*connect.Error](err)
	own := authored != nil && !authored.IsRemote()
	parent := ctx
	if c != nil {
		parent = c.parent
	}
	switch {
	case own && authored.Code() > connect.CodeUnauthenticated:
		return connect.CodeInternal
	case own && !isContextCode(authored.Code()):
		return authored.Code()
	case c != nil && c.cut.Load() != nil:
		return c.cut.Load().Code()
	case c != nil && c.overdue():
		return connect.CodeDeadlineExceeded
	case own:
		return authored.Code()
	case parent.Err() != nil || isContextError(err) && authored == nil:
		if errors.Is(parent.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			return connect.CodeDeadlineExceeded
		}
		return connect.CodeCanceled
	}
	return connect.CodeInternal
}

// LogWith makes the server log what it has to say about the call that ctx
// belongs to with ctx, so that a handler of the log finds in it what an
// interceptor put there: the span. Without a call it does nothing. It must be
// called by an interceptor, before it calls the rest of the chain.
func LogWith(ctx context.Context) {
	if c := callOf(ctx); c != nil {
		c.logs = ctx
	}
}

// logContext is the context of the server's own lines about c.
func (c *call) logContext() context.Context {
	switch {
	case c.logs != nil:
		return context.WithoutCancel(c.logs)
	case c.parent != nil:
		return context.WithoutCancel(c.parent)
	}
	return context.WithoutCancel(c.base)
}
