// Package testservice implements connectum.test.v1.TestService for the
// framework's own tests: what the proto says the usual handlers do, and any of
// it replaced by a function of the test's.
package testservice

import (
	"context"
	"errors"
	"io"
	"strings"

	"connectrpc.com/connect/v2"

	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

// Service is safe for concurrent use once its fields are set.
type Service struct {
	OnEcho  func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error)
	OnGet   func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error)
	OnSum   func(context.Context, testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error)
	OnCount func(context.Context, *testv1.CountRequest, testv1connect.TestServiceCountServerStream) error
	OnChat  func(context.Context, testv1connect.TestServiceChatServerStream) error
}

var _ testv1connect.TestServiceHandler = Service{}

// Register registers s on server.
func (s Service) Register(server *connect.Server) {
	testv1connect.RegisterTestServiceHandler(server, s)
}

// Echo implements TestService.
func (s Service) Echo(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
	if s.OnEcho != nil {
		return s.OnEcho(ctx, req)
	}
	return &testv1.EchoResponse{
		Text: strings.Repeat(req.GetText(), max(int(req.GetCount()), 1)), Number: req.GetNumber(), Payload: req.GetPayload(),
		Tags: req.GetTags(), Labels: req.GetLabels(), Node: req.GetNode(), Count: req.GetCount(),
	}, nil
}

// Get implements TestService.
func (s Service) Get(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	if s.OnGet != nil {
		return s.OnGet(ctx, req)
	}
	return &testv1.GetResponse{Text: req.GetText(), Number: req.GetNumber()}, nil
}

// Sum implements TestService.
func (s Service) Sum(ctx context.Context, stream testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
	if s.OnSum != nil {
		return s.OnSum(ctx, stream)
	}
	res := new(testv1.SumResponse)
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return res, nil
		}
		if err != nil {
			return nil, err
		}
		res.Sum += req.GetNumber()
		res.Count++
	}
}

// Count implements TestService.
func (s Service) Count(ctx context.Context, req *testv1.CountRequest, stream testv1connect.TestServiceCountServerStream) error {
	if s.OnCount != nil {
		return s.OnCount(ctx, req, stream)
	}
	for i := range req.GetCount() {
		if err := stream.Send(&testv1.CountResponse{Number: int64(i) + 1, Text: req.GetText(), Payload: req.GetPayload()}); err != nil {
			return err
		}
	}
	return nil
}

// Chat implements TestService.
func (s Service) Chat(ctx context.Context, stream testv1connect.TestServiceChatServerStream) error {
	if s.OnChat != nil {
		return s.OnChat(ctx, stream)
	}
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testv1.ChatResponse{Text: req.GetText(), Number: req.GetNumber(), Payload: req.GetPayload()}); err != nil {
			return err
		}
	}
}
