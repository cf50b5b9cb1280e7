package resilience

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// translate tells a verdict of the transport as what it is: a connection that
// the peer reset is reported as canceled by connect's client, and yet nobody
// here has cancelled anything.
func translate(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || connect.CodeOf(err) != connect.CodeCanceled {
		return err
	}
	if e, ok := errors.AsType[*connect.Error](err); ok && !e.IsRemote() {
		return connect.NewError(connect.CodeUnavailable, "the connection was reset").WithCause(err).WithRemote()
	}
	return err
}

// codeOf is the code of a verdict: also that of a context that has ended.
func codeOf(err error) connect.Code {
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return connect.CodeOf(err)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	}
	return connect.CodeUnknown
}

// isFault reports whether err tells of an infrastructure that does not work,
// not of a call that was answered: the codes that a healthy server gives on
// purpose never count.
func isFault(err error) bool {
	return slices.Contains([]connect.Code{
		connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss,
	}, codeOf(err))
}

// longestWait is the longest wait that a peer is granted: a caller who hears
// nothing for longer believes that nothing happens.
const longestWait = time.Minute

// pushback returns what the peer of a failed call asks of clients that would
// call again: to wait for so long, or, when never is true, to leave it.
//
// It looks for google.rpc.RetryInfo in the error and for
// grpc-retry-pushback-ms in the trailers (gRFC A6, "Pushback"), whose value
// means never when it is negative or no number.
func pushback(info *connect.CallInfo, err error) (wait time.Duration, never bool) {
	if values := info.ResponseTrailer().Values("grpc-retry-pushback-ms"); len(values) > 0 {
		ms, err := strconv.ParseUint(values[0], 10, 32)
		if err != nil || len(values) > 1 {
			return 0, true
		}
		wait = time.Duration(ms) * time.Millisecond
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		for _, detail := range e.Details() {
			if detail.Type != "google.rpc.RetryInfo" {
				continue
			}
			if msg, err := connectproto.UnmarshalErrorDetail(detail); err == nil {
				if info, ok := msg.(*errdetails.RetryInfo); ok {
					wait = max(wait, info.GetRetryDelay().AsDuration())
				}
			}
		}
	}
	return wait, wait > longestWait
}

// endOf is the error of a call whose context ctx has ended before there was a
// verdict, or after last: the same that a transport makes of it.
func endOf(ctx context.Context, last error) error {
	code, why := connect.CodeCanceled, context.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code, why = connect.CodeDeadlineExceeded, context.DeadlineExceeded
	}
	return connect.NewError(code, why.Error()).WithCause(why).WithCause(last)
}

// repeatable reports whether the schema says that calls may be made twice.
func repeatable(spec connect.Spec) bool {
	return spec.IdempotencyLevel == connect.IdempotencyNoSideEffects || spec.IdempotencyLevel == connect.IdempotencyIdempotent
}

// valid reports whether code is one that calls fail with.
func valid(code connect.Code) bool {
	return connect.CodeCanceled <= code && code <= connect.CodeUnauthenticated
}
