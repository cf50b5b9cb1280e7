// Package invoke makes calls whose messages are known from a schema alone.
package invoke

import (
	"cmp"
	"context"
	"errors"
	"io"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Call is one call of any kind.
type Call struct {
	Client *connect.Client
	Method protoreflect.MethodDescriptor
	// Requests are sent in their order. A method that takes one message takes
	// the first, an empty one if there is none, and refuses a second.
	Requests Messages
	// Answer receives each answer as it comes. An error ends the call.
	Answer func(proto.Message) error
}

// Run makes the call and returns its error: that of the server, of the way to
// it, of Requests or of Answer.
func (c *Call) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spec := SpecOf(c.Method)
	if spec.StreamType&connect.StreamTypeClient == 0 {
		req, err := c.only()
		if err != nil {
			return err
		}
		return c.one(ctx, spec, req)
	}
	stream, err := c.Client.CallClientStream(ctx, spec)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.SendHeaders(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// The sender may wait for somebody to type. It is left behind when the call
	// ends before that: reading a terminal can't be given up, and the process
	// ends next.
	sent := make(chan error, 1)
	go func() { sent <- c.send(stream) }()
	received := make(chan error, 1)
	go func() {
		if spec.StreamType == connect.StreamTypeBidi {
			received <- c.receive(stream)
			return
		}
		received <- c.receiveOne(stream)
	}()
	for {
		select {
		case err := <-received:
			if err != nil && !errors.Is(err, io.EOF) {
				select {
				case fault := <-sent: // what was wrong with our side explains the rest
					if fault != nil {
						return fault
					}
				default:
				}
			}
			return err
		case err := <-sent:
			if err != nil {
				cancel()
				return cmp.Or(err, <-received) // err, when receiving has ended
			}
			sent = nil
		}
	}
}

// only returns the one message of a request.
func (c *Call) only() (proto.Message, error) {
	req, err := c.Requests()
	if errors.Is(err, io.EOF) {
		return dynamicpb.NewMessage(c.Method.Input()), nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := c.Requests(); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, exit.With(exit.Usage, errors.New(string(c.Method.FullName())+" takes one message, and there is a second"))
	}
	return req, nil
}

func (c *Call) one(ctx context.Context, spec connect.Spec, req proto.Message) error {
	if spec.StreamType == connect.StreamTypeUnary {
		res := dynamicpb.NewMessage(c.Method.Output())
		if err := c.Client.CallUnary(ctx, spec, req, res); err != nil {
			return err
		}
		return c.Answer(res)
	}
	stream, err := c.Client.CallServerStream(ctx, spec, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	return c.receive(stream)
}

// send sends the messages until there are no more, or the stream is over.
func (c *Call) send(stream connect.ClientStream) error {
	for {
		req, err := c.Requests()
		if errors.Is(err, io.EOF) {
			_ = stream.CloseSend() // what is wrong, Receive tells
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(req); err != nil {
			return nil // as above
		}
	}
}

func (c *Call) receive(stream connect.ClientStream) error {
	for {
		res := dynamicpb.NewMessage(c.Method.Output())
		if err := stream.Receive(res); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := c.Answer(res); err != nil {
			return err
		}
	}
}

// receiveOne receives the only answer, and the end after it, which brings the
// verdict and the trailers.
func (c *Call) receiveOne(stream connect.ClientStream) error {
	res := dynamicpb.NewMessage(c.Method.Output())
	if err := stream.Receive(res); errors.Is(err, io.EOF) {
		return connect.NewError(connect.CodeUnimplemented, "the server has sent no answer").WithRemote()
	} else if err != nil {
		return err
	}
	if err := stream.Receive(dynamicpb.NewMessage(c.Method.Output())); err == nil {
		return connect.NewError(connect.CodeUnimplemented, "the server has sent a second answer").WithRemote()
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return c.Answer(res)
}
