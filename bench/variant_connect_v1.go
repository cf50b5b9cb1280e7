//go:build !only || connect1

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	connectv1 "connectrpc.com/connect"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

func init() {
	contenders = append(contenders, contender{
		name: "connect-v1", tag: "connect1", connect: true,
		about: "Connect v1 on net/http with nothing around it.",
		serve: func(l net.Listener) error {
			const service = "/bench.v1.BenchService/"
			mux := http.NewServeMux()
			mux.Handle(service+"Echo", connectv1.NewUnaryHandler(service+"Echo", v1Echo))
			mux.Handle(service+"Count", connectv1.NewServerStreamHandler(service+"Count", v1Count))
			mux.Handle(service+"Chat", connectv1.NewBidiStreamHandler(service+"Chat", v1Chat))
			return serveHTTP(l, mux)
		},
	})
}

func v1Echo(_ context.Context, req *connectv1.Request[benchv1.EchoRequest]) (*connectv1.Response[benchv1.EchoResponse], error) {
	return connectv1.NewResponse(&benchv1.EchoResponse{Text: req.Msg.GetText()}), nil
}

func v1Count(_ context.Context, req *connectv1.Request[benchv1.CountRequest], stream *connectv1.ServerStream[benchv1.CountResponse]) error {
	for range req.Msg.GetTimes() {
		if err := stream.Send(&benchv1.CountResponse{Text: req.Msg.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func v1Chat(_ context.Context, stream *connectv1.BidiStream[benchv1.ChatRequest, benchv1.ChatResponse]) error {
	for {
		req, err := stream.Receive()
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
