package validate

import (
	"context"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect/v2"
)

// NewClient returns validation as a link of a client's chain: a request that
// breaks a rule is not sent, and the call fails with invalid_argument. With
// [Config].Responses an answer that breaks a rule fails it with internal. A server
// cannot trust its clients to have done so, so this saves a round trip and
// replaces nothing.
//
// As the verdict of a peer would, these errors stay inside a handler that made
// the call: its own client learns nothing of them. The rules of a procedure are
// compiled with its first call.
func NewClient(cfg Config) connect.ClientInterceptor {
	r := newRuleSet(cfg)
	var bound sync.Map // procedure to *boundClient
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			known, ok := bound.Load(spec.Procedure)
			if !ok {
				b := new(boundClient)
				b.in, b.out, b.err = r.bind(spec, true, cfg.Responses)
				known, _ = bound.LoadOrStore(spec.Procedure, b)
			}
			b := known.(*boundClient)
			if b.err != nil {
				return nil, connect.NewError(connect.CodeInternal, "the rules of the call's messages do not compile").
					WithCause(b.err).WithRemote()
			}
			stream, err := next(ctx, spec)
			if err != nil || b.in == nil && b.out == nil {
				return stream, err
			}
			return &clientStream{ClientStream: stream, boundClient: b}, nil
		}
	}
}

// boundClient is what is known of one procedure.
type boundClient struct {
	in, out *rules
	err     error
}

// clientStream validates what passes; the first refusal ends the call.
type clientStream struct {
	connect.ClientStream
	*boundClient
	refused atomic.Pointer[error]
}

func (s *clientStream) Send(msg any) error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	if s.in != nil {
		if err := s.in.check(msg, request); err != nil {
			return s.refuse(local(err, "the request could not be validated"))
		}
	}
	return s.ClientStream.Send(msg)
}

func (s *clientStream) CloseSend() error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	return s.ClientStream.CloseSend()
}

func (s *clientStream) Receive(msg any) error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	err := s.ClientStream.Receive(msg)
	if refused := s.refused.Load(); refused != nil { // while it waited
		return *refused
	}
	if err != nil || s.out == nil {
		return err
	}
	if err := s.out.check(msg, response); err != nil {
		return s.refuse(local(err, "the answer breaks the rules of its schema"))
	}
	return nil
}

func (s *clientStream) refuse(err error) error {
	s.refused.CompareAndSwap(nil, &err)
	_ = s.ClientStream.Close()
	return err
}

// local makes an error for a caller of this process, who is no client of it.
func local(err error, text string) error {
	if e, ok := err.(*connect.Error); ok { //nolint:errorlint // made by check, never wrapped
		return e.WithRemote()
	}
	return connect.NewError(connect.CodeInternal, text).WithCause(err).WithRemote()
}
