package connectumtest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// ServerStream is a fake of what a handler or an interceptor of a server works
// on: it receives Requests and keeps what is sent. Both directions may be used
// at the same time.
type ServerStream struct {
	// Requests are received one after the other.
	Requests []proto.Message

	// End is what Receive returns after the last of them.
	// The default is io.EOF, a client that has sent all.
	End error

	// SendError is what Send returns, when it is not nil.
	SendError error

	mu      sync.Mutex
	next    int
	sent    []proto.Message
	headers bool
}

var _ connect.ServerStream = (*ServerStream)(nil)

// Receive implements [connect.ServerStream].
func (s *ServerStream) Receive(msg any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return take(msg, s.Requests, &s.next, s.End)
}

// SendHeaders implements [connect.ServerStream].
func (s *ServerStream) SendHeaders() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers = true
	return s.SendError
}

// Send implements [connect.ServerStream]. It keeps a copy of msg.
func (s *ServerStream) Send(msg any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.SendError != nil {
		return s.SendError
	}
	s.headers = true
	return keep(&s.sent, msg)
}

// Sent returns what was sent until now.
func (s *ServerStream) Sent() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// HeadersSent reports whether the response has begun.
func (s *ServerStream) HeadersSent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.headers
}

// taken returns how many requests were received.
func (s *ServerStream) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// ClientStream is a fake of what a client or its interceptors work on: it
// receives Answers and keeps what is sent. Both directions may be used at the
// same time.
type ClientStream struct {
	// Answers are received one after the other.
	Answers []proto.Message

	// End is what Receive returns after the last of them.
	// The default is io.EOF, a call that has succeeded.
	End error

	// SendError is what Send returns, when it is not nil.
	SendError error

	mu     sync.Mutex
	next   int
	sent   []proto.Message
	half   bool
	closed bool
}

var _ connect.ClientStream = (*ClientStream)(nil)

// Receive implements [connect.ClientStream].
func (s *ClientStream) Receive(msg any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return io.EOF
	}
	return take(msg, s.Answers, &s.next, s.End)
}

// SendHeaders implements [connect.ClientStream].
func (s *ClientStream) SendHeaders() error { return s.SendError }

// Send implements [connect.ClientStream]. It keeps a copy of msg.
func (s *ClientStream) Send(msg any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.SendError != nil:
		return s.SendError
	case s.half || s.closed:
		return io.EOF
	}
	return keep(&s.sent, msg)
}

// CloseSend implements [connect.ClientStream].
func (s *ClientStream) CloseSend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.half = true
	return nil
}

// Close implements [connect.ClientStream].
func (s *ClientStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.half, s.closed = true, true
	return nil
}

// Sent returns what was sent until now.
func (s *ClientStream) Sent() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// SendClosed reports whether CloseSend or Close was called.
func (s *ClientStream) SendClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.half
}

// Closed reports whether Close was called.
func (s *ClientStream) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func take(into any, from []proto.Message, next *int, end error) error {
	if *next == len(from) {
		return cmp.Or(end, io.EOF)
	}
	msg, ok := into.(proto.Message)
	if !ok {
		return fmt.Errorf("connectumtest: receive into a %T, which is no message", into)
	}
	if got, want := from[*next].ProtoReflect().Descriptor().FullName(), msg.ProtoReflect().Descriptor().FullName(); got != want {
		return fmt.Errorf("connectumtest: the next message is a %s, not a %s", got, want)
	}
	proto.Reset(msg)
	proto.Merge(msg, from[*next])
	*next++
	return nil
}

func keep(into *[]proto.Message, msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return fmt.Errorf("connectumtest: send a %T, which is no message", msg)
	}
	*into = append(*into, proto.Clone(m))
	return nil
}
