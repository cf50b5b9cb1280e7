package interceptor

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// ended returns the verdict of a call whose context has ended, or that ended
// with the error of one, and nil for all others. Nobody has failed then.
func ended(ctx context.Context, err error) *connect.Error {
	made, _ := errors.AsType[*connect.Error](err)
	if ctx.Err() == nil && (made != nil || !isContextError(err)) {
		return nil
	}
	if why, ok := errors.AsType[*connect.Error](context.Cause(ctx)); ok { // see connectum.End
		return why
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, "the deadline of the call has passed").WithCause(err)
	}
	return connect.NewError(connect.CodeCanceled, "the call was cancelled").WithCause(err)
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// isCode reports whether code is one of the sixteen that can be told.
func isCode(code connect.Code) bool {
	return code >= connect.CodeCanceled && code <= connect.CodeUnauthenticated
}

// outcome is the code that the client of a call gets for err, and the id in its
// message, as far as both are settled here.
func outcome(ctx context.Context, err error) (code connect.Code, id string) {
	if err == nil {
		return 0, ""
	}
	made, _ := errors.AsType[*connect.Error](err)
	if made != nil && !made.IsRemote() && isCode(made.Code()) {
		if f, ok := made.Unwrap().(*connectum.Failure); ok { //nolint:errorlint // as the one who masked it made it
			id = f.ID
		}
		return made.Code(), id
	}
	if told := ended(ctx, err); told != nil {
		return told.Code(), ""
	}
	return connect.CodeInternal, ""
}

// quota allows ten a second, as the root does with the stacks that it logs.
type quota struct {
	mu     sync.Mutex
	second time.Time // when it began
	used   int
}

func (q *quota) allow() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.second) >= time.Second {
		q.second, q.used = now, 0
	}
	q.used++
	return q.used <= 10
}
