package connectumtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest/fake"
)

// Exchange is a call for [Call] and [CallClient]. The zero value is a unary
// call that succeeds.
type Exchange struct {
	// Kind is the kind of the call. The default is unary.
	Kind connect.StreamType

	// Method is what is called; Kind is then its own. The default is a method
	// of Kind that takes and answers google.protobuf.StringValue.
	Method protoreflect.MethodDescriptor

	// Header is sent with the requests.
	Header map[string]string

	// Requests are what the client sends. The default is one message, two for
	// streams of requests: "request 1" and so on, or fakes of Method's input.
	Requests []proto.Message

	// Handler serves the call inside the interceptor. The default answers with
	// one message, or with two in streams: "answer 1" and so on, or fakes of
	// Method's output.
	Handler Step

	// Context is that of the call. The default is the test's.
	Context context.Context
}

// Outcome is what came of an [Exchange].
type Outcome struct {
	// Err is what the interceptor returned: for a server's its own error, with
	// causes, and for a client's what the caller sees. nil is success.
	Err error

	// Answers are the messages that came out of the interceptor.
	Answers []proto.Message

	// Received are the requests that reached the handler, in all calls of it.
	Received []proto.Message

	// Calls is how often the handler was called.
	Calls int

	// Header and Trailer are those of the response.
	Header, Trailer *connect.Header
}

// Call runs one interceptor of a server around one call, without a server:
//
//	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
//		got := connectumtest.Call(t, interceptor, connectumtest.Exchange{Kind: kind})
//		...
//	})
//
// When the interceptor leaves the procedure alone, the handler is called
// without it; where Done says why, that is logged. The test ends when Bind
// fails.
func Call(t testing.TB, i connectum.Interceptor, x Exchange) Outcome {
	t.Helper()
	x, spec := x.complete(t)
	around, err := i.Bind(spec)
	if err != nil {
		t.Fatalf("bind interceptor %q to %s: %v", i.Name, spec.Procedure, err)
	}
	if around == nil && i.Done != nil {
		if err := i.Done([]connect.Spec{spec}); err != nil {
			t.Logf("interceptor %q leaves %s alone: %v", i.Name, spec.Procedure, err)
		}
	}
	var inner handled
	info := &connect.CallInfo{Spec: spec}
	for name, value := range x.Header {
		info.RequestHeader().Set(name, value)
	}
	// In the server's place: its own chain would mask the error.
	server := connect.NewServer(func(next connect.ServerFunc) connect.ServerFunc {
		if around == nil {
			return next
		}
		return around(next)
	})
	server.Register(connect.Method{Spec: spec, Handler: inner.serve(x.Handler)})
	stream := &ServerStream{Requests: x.Requests}
	err = server.Call(x.Context, spec.Procedure, info, stream)
	return inner.outcome(err, stream.Sent(), info)
}

// CallClient runs one interceptor of a client around one call, without a
// server. Requests are sent and answers received at the same time.
func CallClient(t testing.TB, i connect.ClientInterceptor, x Exchange) Outcome {
	t.Helper()
	x, spec := x.complete(t)
	var inner handled
	server := connect.NewServer()
	server.Register(connect.Method{Spec: spec, Handler: inner.serve(x.Handler)})
	client := connect.NewClient(connectinprocess.New(server), i)
	ctx, info := connect.NewClientContext(x.Context)
	for name, value := range x.Header {
		info.RequestHeader().Set(name, value)
	}
	answers, err := converse(ctx, client, spec, x.Requests)
	return inner.outcome(err, answers, info)
}

// complete fills in the defaults.
func (x Exchange) complete(t testing.TB) (Exchange, connect.Spec) {
	t.Helper()
	words := x.Method == nil
	if words {
		x.Method = kindMethod(x.Kind)
	}
	spec := specOf(x.Method)
	x.Kind = spec.StreamType
	if x.Context == nil {
		x.Context = t.Context()
	}
	if x.Requests == nil {
		fakes := fake.Named(spec.Procedure)
		for n := range count(spec.StreamType & connect.StreamTypeClient) {
			msg := proto.Message(wrapperspb.String(fmt.Sprintf("request %d", n+1)))
			if !words {
				msg = newMessage(x.Method.Input())
				if err := fakes.Fill(msg); err != nil {
					t.Fatal(err)
				}
			}
			x.Requests = append(x.Requests, msg)
		}
	}
	if x.Handler == nil && words {
		var answers []proto.Message
		for n := range count(spec.StreamType & connect.StreamTypeServer) {
			answers = append(answers, wrapperspb.String(fmt.Sprintf("answer %d", n+1)))
		}
		x.Handler = Answer(answers...)
	} else if x.Handler == nil {
		x.Handler = Fakes()
	}
	return x, spec
}

// count is how many messages a direction has by default.
func count(streamed connect.StreamType) int {
	if streamed != 0 {
		return 2
	}
	return 1
}

// converse makes one call of any kind and returns its answers.
func converse(ctx context.Context, client *connect.Client, spec connect.Spec, requests []proto.Message) ([]proto.Message, error) {
	output := spec.Schema.(protoreflect.MethodDescriptor).Output()
	if spec.StreamType == connect.StreamTypeUnary && len(requests) == 1 {
		res := newMessage(output)
		if err := client.CallUnary(ctx, spec, requests[0], res); err != nil {
			return nil, err
		}
		return []proto.Message{res}, nil
	}
	stream, err := client.CallClientStream(ctx, spec)
	if err != nil {
		return nil, err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer func() { _ = stream.Close() }()
	send := func() error {
		for _, msg := range requests {
			if err := stream.Send(msg); err != nil {
				return err
			}
		}
		return stream.CloseSend()
	}
	if spec.StreamType == connect.StreamTypeBidi {
		sending.Go(func() { _ = send() }) // what went wrong, Receive tells
	} else if err := send(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var answers []proto.Message
	for {
		res := newMessage(output)
		err := stream.Receive(res)
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, res)
	}
}

// handled notes what reaches a handler.
type handled struct {
	mu       sync.Mutex
	calls    int
	received []proto.Message
}

func (h *handled) serve(step Step) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		h.mu.Lock()
		h.calls++
		h.mu.Unlock()
		return step(ctx, spec, &noting{stream, h})
	}
}

func (h *handled) outcome(err error, answers []proto.Message, info *connect.CallInfo) Outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Outcome{Err: err, Answers: answers, Received: slices.Clone(h.received), Calls: h.calls,
		Header: info.ResponseHeader(), Trailer: info.ResponseTrailer()}
}

type noting struct {
	connect.ServerStream
	handled *handled
}

func (s *noting) Receive(msg any) error {
	err := s.ServerStream.Receive(msg)
	if err == nil {
		s.handled.mu.Lock()
		defer s.handled.mu.Unlock()
		return keep(&s.handled.received, msg)
	}
	return err
}
