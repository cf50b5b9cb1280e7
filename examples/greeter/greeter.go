// Package greeter implements greeter.v1.GreeterService: one method of each of
// the four kinds of call.
package greeter

import (
	"context"
	"errors"
	"io"
	"strings"

	"connectrpc.com/connect/v2"

	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
)

// maxNames bounds what GreetEveryone keeps in memory: 1000 names of at most 64
// characters are less than 256 KiB.
const maxNames = 1000

// Service implements greeterv1connect.GreeterServiceHandler. It has no state and
// is safe for concurrent use.
type Service struct{}

var _ greeterv1connect.GreeterServiceHandler = Service{}

// SayHello greets one person.
func (Service) SayHello(_ context.Context, req *greeterv1.SayHelloRequest) (*greeterv1.SayHelloResponse, error) {
	return &greeterv1.SayHelloResponse{Message: hello(req.GetName())}, nil
}

// SayHelloMany greets one person as often as asked.
func (Service) SayHelloMany(_ context.Context, req *greeterv1.SayHelloManyRequest, stream greeterv1connect.GreeterServiceSayHelloManyServerStream) error {
	for range req.GetCount() {
		if err := stream.Send(&greeterv1.SayHelloManyResponse{Message: hello(req.GetName())}); err != nil {
			return err
		}
	}
	return nil
}

// GreetEveryone greets all names of the stream in one message.
func (Service) GreetEveryone(_ context.Context, stream greeterv1connect.GreeterServiceGreetEveryoneServerStream) (*greeterv1.GreetEveryoneResponse, error) {
	var names []string
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(names) == maxNames {
			return nil, connect.Errorf(connect.CodeResourceExhausted, "more than %d names", maxNames)
		}
		names = append(names, req.GetName())
	}
	if len(names) == 0 {
		return nil, connect.NewError(connect.CodeInvalidArgument, "no name was sent")
	}
	return &greeterv1.GreetEveryoneResponse{
		Message: hello(names...),
		Count:   int32(len(names)),
	}, nil
}

// Chat answers each name with a greeting.
func (Service) Chat(_ context.Context, stream greeterv1connect.GreeterServiceChatServerStream) error {
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&greeterv1.ChatResponse{Message: hello(req.GetName())}); err != nil {
			return err
		}
	}
}

// hello greets one name or several: "Hello, Ada, Grace and Edsger!".
func hello(names ...string) string {
	last := len(names) - 1
	if last == 0 {
		return "Hello, " + names[0] + "!"
	}
	return "Hello, " + strings.Join(names[:last], ", ") + " and " + names[last] + "!"
}
