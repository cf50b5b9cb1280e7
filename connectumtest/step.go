package connectumtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Step is what a scripted service does with a call: [Answer], [Fail], [Hang],
// [Disconnect], [Delay], several of them with [Step.Then] and [Steps], or any
// connect.ServerFunc of your own. Steps are safe for concurrent use.
type Step func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error

// Answer takes the requests and sends msgs: one for unary and client streams,
// any number for server streams. For bidi streams it sends one for each request
// it gets, and the rest when the client has sent its last.
func Answer(msgs ...proto.Message) Step {
	return func(_ context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if spec.StreamType&connect.StreamTypeServer == 0 && len(msgs) != 1 {
			return connect.Errorf(connect.CodeInternal, "connectumtest: Answer has %d messages for %s, which answers one", len(msgs), spec.Procedure)
		}
		left := msgs
		for {
			err := receive(spec, stream)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if spec.StreamType == connect.StreamTypeBidi && len(left) > 0 {
				if err := stream.Send(left[0]); err != nil {
					return err
				}
				left = left[1:]
			}
			if spec.StreamType&connect.StreamTypeClient == 0 {
				break
			}
		}
		for _, msg := range left {
			if err := stream.Send(msg); err != nil {
				return err
			}
		}
		return nil
	}
}

// receive takes the next request, whatever it is. EOF after the only request of
// a call that has one is reported by the caller's second call.
func receive(spec connect.Spec, stream connect.ServerStream) error {
	_, err := receiveMessage(spec, stream)
	return err
}

func receiveMessage(spec connect.Spec, stream connect.ServerStream) (proto.Message, error) {
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, connect.Errorf(connect.CodeInternal, "connectumtest: %s has no schema", spec.Procedure)
	}
	msg := newMessage(method.Input())
	return msg, stream.Receive(msg)
}

// newMessage returns a message of the generated type when the program has it
// for this very descriptor, and a dynamic one otherwise.
func newMessage(desc protoreflect.MessageDescriptor) proto.Message {
	if t, err := protoregistry.GlobalTypes.FindMessageByName(desc.FullName()); err == nil && t.Descriptor() == desc {
		return t.New().Interface()
	}
	return dynamicpb.NewMessage(desc)
}

// Fail ends the call with err, as it is: an error that is not a *connect.Error
// is masked by the server.
func Fail(err error) Step {
	return func(context.Context, connect.Spec, connect.ServerStream) error { return err }
}

// Hang does nothing until the call ends from outside: by its deadline, its
// client, or the server's stop.
func Hang() Step {
	return func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

// Disconnect cuts the call without an answer, by a panic with
// http.ErrAbortHandler: over HTTP/1.1 it cuts the connection,
// over HTTP/2 the stream. Clients see unavailable or internal, which depends on
// the protocol.
func Disconnect() Step {
	return func(context.Context, connect.Spec, connect.ServerStream) error { panic(http.ErrAbortHandler) }
}

// Delay waits for d or the end of the call. Alone it answers nothing; in a
// [Fault] it only slows the call down.
func Delay(d time.Duration) Step {
	return func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Then goes on with next when s has ended without an error:
//
//	connectumtest.Answer(one, two).Then(connectumtest.Disconnect())
func (s Step) Then(next Step) Step {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if err := s(ctx, spec, stream); err != nil {
			return err
		}
		return next(ctx, spec, stream)
	}
}

// Steps does the first with the first call, the second with the second, and the
// last with all that follow:
//
//	connectumtest.Steps(connectumtest.Fail(unavailable), connectumtest.Answer(res))
func Steps(steps ...Step) Step {
	var calls atomic.Int64
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if len(steps) == 0 {
			return fmt.Errorf("connectumtest: Steps has none for %s", spec.Procedure)
		}
		n := calls.Add(1)
		return steps[min(int(n), len(steps))-1](ctx, spec, stream)
	}
}
