package connectum

import (
	"context"
	"sync/atomic"

	"connectrpc.com/connect/v2"
)

// MessageChecks look at the messages of calls, each of a stream. An error of one
// is a refusal: the message goes no further, none is received or sent any more,
// and the call ends with the first refusal, whatever the handler makes of it.
//
// They are called on the goroutine that receives or sends, and both may be at the
// same time. They must not change messages, nor keep them.
type MessageChecks struct {
	// Received is called with each request message that the handler is about to
	// get. The default is none.
	Received func(msg any) error

	// Sending is called with each response message that is about to be sent.
	// The default is none.
	Sending func(msg any) error
}

// Interceptor returns the checks as a link of a chain, for [Interceptor.Bind].
// The first of them in a chain adds nothing to what a call allocates.
func (m MessageChecks) Interceptor() connect.ServerInterceptor {
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			s := checkedBy(ctx)
			s.ServerStream, s.checks = stream, &m
			err := next(ctx, spec, s)
			if refused := s.refused.Load(); refused != nil {
				return *refused
			}
			return err
		}
	}
}

// checkedStream is a stream whose messages are checked.
type checkedStream struct {
	connect.ServerStream
	checks  *MessageChecks
	refused atomic.Pointer[error]
	taken   atomic.Bool
}

// checkedBy returns room for a stream: that of the call, or some of its own when
// that is taken.
func checkedBy(ctx context.Context) *checkedStream {
	if c := callOf(ctx); c != nil && c.checked.taken.CompareAndSwap(false, true) {
		return &c.checked
	}
	return new(checkedStream)
}

func (s *checkedStream) Receive(msg any) error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	if err := s.ServerStream.Receive(msg); err != nil || s.checks.Received == nil {
		return err
	}
	return s.settle(s.checks.Received(msg))
}

func (s *checkedStream) Send(msg any) error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	if s.checks.Sending != nil {
		if err := s.settle(s.checks.Sending(msg)); err != nil {
			return err
		}
	}
	return s.ServerStream.Send(msg)
}

func (s *checkedStream) settle(err error) error {
	if err != nil {
		refused := err // on the heap only when there is one
		s.refused.CompareAndSwap(nil, &refused)
	}
	return err
}
