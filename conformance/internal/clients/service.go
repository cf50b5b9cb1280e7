package clients

import (
	"context"
	"time"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// How a stream is held; see Client.Hold.
const (
	// Heeds ends its stream when the server drains, after a Farewell.
	Heeds = "heeds"
	// Deaf waits for its context and for nothing else.
	Deaf = "deaf"
	// Farewell is the last word of a stream that heeds the drain.
	Farewell = "farewell"
)

// Service is what the clients of this package call.
func Service() testservice.Service {
	return testservice.Service{
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			if err := pause(ctx, time.Duration(req.GetNumber())*time.Millisecond); err != nil {
				return nil, err
			}
			return &testv1.EchoResponse{Text: req.GetText(), Payload: req.GetPayload()}, nil
		},
		OnCount: func(ctx context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			switch req.GetText() {
			case Heeds:
				if err := s.Send(&testv1.CountResponse{}); err != nil {
					return err
				}
				select {
				case <-connectum.Draining(ctx):
					return s.Send(&testv1.CountResponse{Text: Farewell})
				case <-ctx.Done():
					return ctx.Err()
				}
			case Deaf:
				if err := s.Send(&testv1.CountResponse{}); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			}
			work, err := time.ParseDuration(req.GetText())
			if err != nil {
				return err
			}
			for n := range int64(req.GetCount()) {
				if err := s.Send(&testv1.CountResponse{Number: n + 1, Payload: payload}); err != nil {
					return err
				}
				if err := pause(ctx, work/messages); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
