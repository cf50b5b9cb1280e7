//go:build !only || grpcgo || grpcchain || kratos || gozero

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

// grpcService is the service for grpc-go and what is built on it, written as
// protoc-gen-go-grpc writes it.
type grpcService struct {
	work time.Duration // that an answer and a message take; none but for restarts
}

func registerGRPC(s grpc.ServiceRegistrar, service grpcService) {
	s.RegisterService(&grpcServiceDesc, service)
}

var grpcServiceDesc = grpc.ServiceDesc{
	ServiceName: "bench.v1.BenchService",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: grpcEcho}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Count", Handler: grpcCount, ServerStreams: true},
		{StreamName: "Chat", Handler: grpcChat, ServerStreams: true, ClientStreams: true},
	},
	Metadata: "bench/v1/bench.proto",
}

func (s grpcService) echo(_ context.Context, req *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	if s.work > 0 {
		time.Sleep(s.work)
	}
	return &benchv1.EchoResponse{Text: req.GetText()}, nil
}

func grpcEcho(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	req := new(benchv1.EchoRequest)
	if err := dec(req); err != nil {
		return nil, err
	}
	service := srv.(grpcService)
	if interceptor == nil {
		return service.echo(ctx, req)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: "/bench.v1.BenchService/Echo"}
	return interceptor(ctx, req, info, func(ctx context.Context, req any) (any, error) {
		return service.echo(ctx, req.(*benchv1.EchoRequest))
	})
}

func grpcCount(srv any, stream grpc.ServerStream) error {
	req := new(benchv1.CountRequest)
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	work := srv.(grpcService).work
	for range req.GetTimes() {
		if work > 0 {
			time.Sleep(work)
		}
		if err := stream.SendMsg(&benchv1.CountResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func grpcChat(_ any, stream grpc.ServerStream) error {
	for {
		req := new(benchv1.ChatRequest)
		err := stream.RecvMsg(req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&benchv1.ChatResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
}
