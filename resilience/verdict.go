package resilience

import (
	"context"
	"errors"
	"slices"
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

// retryAfter returns the wait that the peer asks for with google.rpc.RetryInfo.
func retryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return 0, false
	}
	for _, detail := range e.Details() {
		if detail.Type != "google.rpc.RetryInfo" {
			continue
		}
		if msg, err := connectproto.UnmarshalErrorDetail(detail); err == nil {
			if info, ok := msg.(*errdetails.RetryInfo); ok {
				return max(info.GetRetryDelay().AsDuration(), 0), true
			}
		}
	}
	return 0, false
}

// repeatable reports whether the schema says that calls may be made twice.
func repeatable(spec connect.Spec) bool {
	return spec.IdempotencyLevel == connect.IdempotencyNoSideEffects || spec.IdempotencyLevel == connect.IdempotencyIdempotent
}
