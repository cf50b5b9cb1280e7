//go:build (!only && !light) || kitex || kitexchain

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/cloudwego/kitex/pkg/endpoint"
	"github.com/cloudwego/kitex/pkg/klog"
	"github.com/cloudwego/kitex/pkg/remote"
	"github.com/cloudwego/kitex/pkg/remote/codec/protobuf/encoding"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	kserver "github.com/cloudwego/kitex/server"

	benchv1 "github.com/connectum-go/connectum/bench/internal/kitex_gen/bench/v1"
	"github.com/connectum-go/connectum/bench/internal/kitex_gen/bench/v1/benchservice"
)

func serveKitex(l net.Listener, service *kitexService, options ...kserver.Option) error {
	klog.SetOutput(io.Discard)
	return benchservice.NewServer(service, append(options, kserver.WithListener(l), kserver.WithMiddleware(uncompressed))...).Run()
}

// uncompressed answers without compression. The load's client offers gzip, as all of
// grpc-go's do once it is linked: kitex fails their calls, or, where its own gzip is
// linked, compresses every answer.
func uncompressed(next endpoint.Endpoint) endpoint.Endpoint {
	return func(ctx context.Context, req, res any) error {
		remote.SetSendCompressor(rpcinfo.GetRPCInfo(ctx), encoding.Identity)
		return next(ctx, req, res)
	}
}

// kitexService is the service as kitex' generator wants it.
type kitexService struct {
	work time.Duration // that an answer and a message take; none but for restarts
}

func (s *kitexService) Echo(_ context.Context, req *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	if s.work > 0 {
		time.Sleep(s.work)
	}
	return &benchv1.EchoResponse{Text: req.GetText()}, nil
}

func (s *kitexService) Count(req *benchv1.CountRequest, stream benchv1.BenchService_CountServer) error {
	for range req.GetTimes() {
		if s.work > 0 {
			time.Sleep(s.work)
		}
		if err := stream.Send(&benchv1.CountResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func (s *kitexService) Chat(stream benchv1.BenchService_ChatServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&benchv1.ChatResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
}
