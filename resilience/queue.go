package resilience

import (
	"context"

	"connectrpc.com/connect/v2"
)

// await runs the rest of the chain for a call that found no place at once;
// enter waits for one.
//
// A call with one request reads it first: over HTTP/1.1 net/http notices that
// a client has left only once everything it sent has been read (it reads on in
// the background from then on), and a call that nobody waits for must not keep
// its place in a queue. Nothing of the handler has run by then, as reading the
// request is what it begins with.
func await(ctx context.Context, spec connect.Spec, stream connect.ServerStream, next connect.ServerFunc, enter func() error) error {
	if spec.StreamType&connect.StreamTypeClient != 0 {
		if err := enter(); err != nil {
			return err
		}
		return next(ctx, spec, stream)
	}
	w := &waitingStream{ServerStream: stream, enter: enter}
	err := next(ctx, spec, w)
	if w.refused != nil {
		return w.refused
	}
	return err
}

// waits reports whether stream is that of a call which a link further out has not
// let in yet. What it takes further in it must not take before: it would hold
// up calls that have been let in, which the one further out may wait for.
func waits(stream connect.ServerStream) bool {
	w, ok := stream.(*waitingStream)
	return ok && !w.asked
}

// waitingStream is the stream of a call with one request that waits for its
// place when it has read it.
type waitingStream struct {
	connect.ServerStream
	enter   func() error
	asked   bool
	refused error
}

func (s *waitingStream) Receive(msg any) error {
	if err := s.ServerStream.Receive(msg); err != nil {
		return err
	}
	return s.wait()
}

func (s *waitingStream) Send(msg any) error {
	if err := s.wait(); err != nil {
		return err
	}
	return s.ServerStream.Send(msg)
}

func (s *waitingStream) wait() error {
	if !s.asked {
		s.asked = true
		s.refused = s.enter()
	}
	return s.refused
}
