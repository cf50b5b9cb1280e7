//go:build !only || connectum || connectum_default || connectum_all || connectum_native || connect2 || connectglue

package main

import (
	"context"
	"errors"
	"io"
	"time"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
)

// connectService is the service for Connect v2 and what is built on it.
type connectService struct {
	work time.Duration // that an answer and a message take; none but for restarts
}

var _ benchv1connect.BenchServiceHandler = connectService{}

func (s connectService) Echo(_ context.Context, req *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	if s.work > 0 {
		time.Sleep(s.work)
	}
	return &benchv1.EchoResponse{Text: req.GetText()}, nil
}

func (s connectService) Count(_ context.Context, req *benchv1.CountRequest, stream benchv1connect.BenchServiceCountServerStream) error {
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

func (connectService) Chat(_ context.Context, stream benchv1connect.BenchServiceChatServerStream) error {
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
