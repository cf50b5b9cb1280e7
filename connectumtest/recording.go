package connectumtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
)

// Recording is calls of a server: captured by its Interceptor, kept in a file
// that people can read and edit, and replayed as a test or as a fake server.
// The zero value is empty and ready for use.
//
// Fields marked with debug_redact never enter a recording, nor do the headers of
// requests, nor cookies.
//
//	var rec connectumtest.Recording
//	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rec.Interceptor()}})
//	...
//	err := rec.Save("testdata/calls.json")
//
//	connectumtest.LoadRecording(t, "testdata/calls.json").Replay(t, client)
type Recording struct {
	// MaxCalls bounds the calls captured; later ones are left out.
	// The default is 1000.
	MaxCalls int

	mu    sync.Mutex
	calls []*Recorded
}

// Recorded is one call.
type Recorded struct {
	Procedure string
	Requests  []proto.Message
	Header    map[string][]string // of the response
	Responses []proto.Message
	Trailer   map[string][]string
	Err       *connect.Error // as the client saw it; nil is success

	// Redacted are the paths of what was left out as debug_redact.
	Redacted []string

	// Truncated tells a stream with more messages than are kept, or that was
	// still going on. It is not replayed.
	Truncated bool
}

// mostMessages is how many messages of one call a recording keeps, in each
// direction.
const mostMessages = 1000

// Interceptor captures the calls that come through it. Put it first in
// Config.Interceptors to capture what clients see.
func (r *Recording) Interceptor() connectum.Interceptor {
	return connectum.Wrap("recording", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			c := &Recorded{Procedure: spec.Procedure, Truncated: true}
			if !r.add(c) {
				return next(ctx, spec, stream)
			}
			err := next(ctx, spec, &capture{ServerStream: stream, recording: r, call: c})
			r.mu.Lock()
			defer r.mu.Unlock()
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				c.Header, c.Trailer = recordable(info.ResponseHeader()), recordable(info.ResponseTrailer())
			}
			if err != nil {
				c.Err = c.publicError(err)
			}
			c.Truncated = len(c.Requests) > mostMessages || len(c.Responses) > mostMessages
			return err
		}
	})
}

func (r *Recording) add(c *Recorded) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := r.MaxCalls
	if most == 0 {
		most = 1000
	}
	if len(r.calls) >= most {
		return false
	}
	r.calls = append(r.calls, c)
	return true
}

// Calls returns the calls in the order in which they began. Those still going
// on are Truncated.
func (r *Recording) Calls() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Recorded
	for _, c := range r.calls {
		one := *c
		one.Requests, one.Responses = slices.Clone(c.Requests), slices.Clone(c.Responses)
		one.Header, one.Trailer = maps.Clone(c.Header), maps.Clone(c.Trailer)
		out = append(out, one)
	}
	return out
}

// capture notes the messages of one call.
type capture struct {
	connect.ServerStream
	recording *Recording
	call      *Recorded
}

func (s *capture) Receive(msg any) error {
	err := s.ServerStream.Receive(msg)
	if err == nil {
		s.note("request", &s.call.Requests, msg)
	}
	return err
}

func (s *capture) Send(msg any) error {
	err := s.ServerStream.Send(msg)
	if err == nil {
		s.note("response", &s.call.Responses, msg)
	}
	return err
}

func (s *capture) note(what string, into *[]proto.Message, msg any) {
	m, ok := msg.(proto.Message)
	if !ok {
		return
	}
	s.recording.mu.Lock()
	defer s.recording.mu.Unlock()
	if len(*into) > mostMessages {
		return
	}
	m = proto.Clone(m)
	for _, path := range redact(m) {
		s.call.Redacted = append(s.call.Redacted, fmt.Sprintf("%s %d: %s", what, len(*into)+1, path))
	}
	*into = append(*into, m)
}

// publicError returns what a client is told of err, without the id that makes
// each internal error another one.
func (c *Recorded) publicError(err error) *connect.Error {
	e, ok := errors.AsType[*connect.Error](err)
	switch {
	case ok && e.IsRemote(), !ok && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeInternal, internalError)
	case !ok:
		return connect.NewError(asError(err).Code(), "")
	}
	public := connect.NewError(e.Code(), publicMessage(e))
	for i, d := range e.Details() {
		box := detailBox(d)
		for _, path := range redact(box) {
			c.Redacted = append(c.Redacted, fmt.Sprintf("detail %d: %s", i+1, path))
		}
		public = public.WithDetail(&connect.ErrorDetail{Type: d.Type, Value: box.GetValue()})
	}
	return public
}

// recordable returns the headers that are the service's own.
func recordable(h *connect.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h.All() {
		if !isProtocolHeader(name) && !strings.EqualFold(name, "Set-Cookie") {
			out[name] = slices.Clone(values)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
