// Package grpcclient calls connectum.test.v1.TestService with grpc-go's client,
// as the code that protoc-gen-go-grpc generates does.
package grpcclient

import (
	"context"

	"google.golang.org/grpc"

	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

// The full names of the methods.
const (
	service = "/connectum.test.v1.TestService/"
	Echo    = service + "Echo"
	Get     = service + "Get"
	Sum     = service + "Sum"
	Count   = service + "Count"
	Chat    = service + "Chat"
)

// SumStream is a stream of requests.
type SumStream = grpc.ClientStreamingClient[testv1.SumRequest, testv1.SumResponse]

// CountStream is a stream of answers.
type CountStream = grpc.ServerStreamingClient[testv1.CountResponse]

// ChatStream is a stream of both.
type ChatStream = grpc.BidiStreamingClient[testv1.ChatRequest, testv1.ChatResponse]

// Client calls the service over a connection. It is safe for concurrent use.
type Client struct{ Conn grpc.ClientConnInterface }

// Echo calls the unary method.
func (c Client) Echo(ctx context.Context, req *testv1.EchoRequest, opts ...grpc.CallOption) (*testv1.EchoResponse, error) {
	res := new(testv1.EchoResponse)
	return res, c.Conn.Invoke(ctx, Echo, req, res, append(opts, grpc.StaticMethod())...)
}

// Sum opens the stream of requests.
func (c Client) Sum(ctx context.Context, opts ...grpc.CallOption) (SumStream, error) {
	s, err := c.open(ctx, Sum, grpc.StreamDesc{StreamName: "Sum", ClientStreams: true}, opts)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[testv1.SumRequest, testv1.SumResponse]{ClientStream: s}, nil
}

// Count opens the stream of responses to req.
func (c Client) Count(ctx context.Context, req *testv1.CountRequest, opts ...grpc.CallOption) (CountStream, error) {
	s, err := c.open(ctx, Count, grpc.StreamDesc{StreamName: "Count", ServerStreams: true}, opts)
	if err != nil {
		return nil, err
	}
	stream := &grpc.GenericClientStream[testv1.CountRequest, testv1.CountResponse]{ClientStream: s}
	if err := stream.ClientStream.SendMsg(req); err != nil {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// Chat opens the stream both ways.
func (c Client) Chat(ctx context.Context, opts ...grpc.CallOption) (ChatStream, error) {
	s, err := c.open(ctx, Chat, grpc.StreamDesc{StreamName: "Chat", ClientStreams: true, ServerStreams: true}, opts)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[testv1.ChatRequest, testv1.ChatResponse]{ClientStream: s}, nil
}

func (c Client) open(ctx context.Context, method string, desc grpc.StreamDesc, opts []grpc.CallOption) (grpc.ClientStream, error) {
	return c.Conn.NewStream(ctx, &desc, method, append(opts, grpc.StaticMethod())...)
}
