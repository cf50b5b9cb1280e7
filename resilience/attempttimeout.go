package resilience

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect/v2"
)

// errAttempt marks the verdict of an attempt that was given up.
var errAttempt = errors.New("attempt timed out")

// AttemptTimeout returns a client interceptor that gives up an attempt of a
// unary call after d, with deadline_exceeded, so that [Retry] has time left for
// another. The deadline of the call itself holds as ever. Streams are left
// alone. Zero and negative are no timeout.
func AttemptTimeout(d time.Duration) connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		if d <= 0 {
			return next
		}
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if spec.StreamType != connect.StreamTypeUnary {
				return next(ctx, spec)
			}
			return unary(ctx, func(ctx context.Context, _ *connect.CallInfo, req, res any) error {
				bounded, cancel := context.WithTimeout(ctx, d)
				defer cancel()
				err := exchange(bounded, spec, next, req, res)
				if err != nil && ctx.Err() == nil && (bounded.Err() != nil || codeOf(err) == connect.CodeDeadlineExceeded && due(bounded, ctx)) {
					return connect.Errorf(connect.CodeDeadlineExceeded, "the attempt took longer than %v", d).
						WithCause(errors.Join(errAttempt, err)).WithRemote()
				}
				return err
			}), nil
		}
	}
}

// due reports whether the deadline of the attempt bounded has come, and not that
// of its call ctx: the server has the deadline too, in whole milliseconds, and
// its verdict may be the first to say so.
func due(bounded, ctx context.Context) bool {
	const early = 2 * time.Millisecond
	theirs, _ := bounded.Deadline()
	ours, ok := ctx.Deadline()
	return time.Until(theirs) <= early && (!ok || theirs.Before(ours))
}
