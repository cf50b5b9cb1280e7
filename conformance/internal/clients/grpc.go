package clients

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

func overGRPC(c grpcclient.Client, call string, work time.Duration) Client {
	switch call {
	case unary:
		return Client{Call: func(ctx context.Context) error {
			req := echoRequest(work)
			res, err := c.Echo(ctx, req)
			return checkEcho(req, res, err)
		}}
	case clientStream:
		return Client{Call: func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := c.Sum(ctx)
			if err != nil {
				return err
			}
			for n := range int64(messages) {
				if err := s.Send(&testv1.SumRequest{Number: n + 1}); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				if err := pause(ctx, work/messages); err != nil {
					return err
				}
			}
			res, err := s.CloseAndRecv()
			return checkSum(res, err)
		}}
	case serverStream:
		return Client{
			Call: func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				s, err := c.Count(ctx, countRequest(work))
				if err != nil {
					return err
				}
				return checkCount(s.Recv)
			},
			Hold: func(ctx context.Context, how string) (Held, error) {
				s, err := c.Count(ctx, &testv1.CountRequest{Text: how})
				if err != nil {
					return nil, err
				}
				return held(s.Recv), nil
			},
		}
	default:
		return Client{Call: func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := c.Chat(ctx)
			if err != nil {
				return err
			}
			return chat(ctx, work, s.Send, s.Recv, s.CloseSend)
		}}
	}
}
