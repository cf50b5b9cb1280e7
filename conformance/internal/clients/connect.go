package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

func overConnect(c testv1connect.TestServiceClient, call string, work time.Duration) Client {
	switch call {
	case unary:
		return Client{Call: func(ctx context.Context) error {
			req := echoRequest(work)
			res, err := c.Echo(ctx, req)
			return checkEcho(req, res, err)
		}}
	case clientStream:
		return Client{Call: func(ctx context.Context) error {
			s, err := c.Sum(ctx)
			if err != nil {
				return err
			}
			for n := range int64(messages) {
				if err := s.Send(&testv1.SumRequest{Number: n + 1}); err != nil && !errors.Is(err, io.EOF) {
					_, _ = s.CloseAndReceive()
					return err
				}
				if err := pause(ctx, work/messages); err != nil {
					_, _ = s.CloseAndReceive() // or net/http waits for more of the body
					return err
				}
			}
			res, err := s.CloseAndReceive()
			return checkSum(res, err)
		}}
	case serverStream:
		return Client{
			Call: func(ctx context.Context) error {
				s, err := c.Count(ctx, countRequest(work))
				if err != nil {
					return err
				}
				defer func() { _ = s.Close() }()
				return checkCount(s.Receive)
			},
			Hold: func(ctx context.Context, how string) (Held, error) {
				s, err := c.Count(ctx, &testv1.CountRequest{Text: how})
				if err != nil {
					return nil, err
				}
				return held(s.Receive), nil
			},
		}
	default:
		return Client{Call: func(ctx context.Context) error {
			s, err := c.Chat(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			return chat(ctx, work, s.Send, s.Receive, s.CloseSend)
		}}
	}
}

// held reads a stream of either library.
type held func() (*testv1.CountResponse, error)

// Next implements Held.
func (h held) Next() (string, error) {
	res, err := h()
	return res.GetText(), err
}

func echoRequest(work time.Duration) *testv1.EchoRequest {
	return &testv1.EchoRequest{Text: "a call", Number: work.Milliseconds(), Payload: payload}
}

var payload = []byte("a hundred bytes or so, as a small message of a service has them: names, a date, an amount, a state.")

func checkEcho(req *testv1.EchoRequest, res *testv1.EchoResponse, err error) error {
	if err == nil && (res.GetText() != req.GetText() || string(res.GetPayload()) != string(req.GetPayload())) {
		return fmt.Errorf("wrong answer: %v", res)
	}
	return err
}

func checkSum(res *testv1.SumResponse, err error) error {
	if err == nil && (res.GetCount() != messages || res.GetSum() != messages*(messages+1)/2) {
		return fmt.Errorf("wrong answer: %v", res)
	}
	return err
}

func countRequest(work time.Duration) *testv1.CountRequest {
	return &testv1.CountRequest{Count: messages, Text: work.String()}
}

func checkCount(receive func() (*testv1.CountResponse, error)) error {
	for n := int64(1); ; n++ {
		res, err := receive()
		switch {
		case errors.Is(err, io.EOF) && n == messages+1:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the stream ended well, but before message %d", n)
		case err != nil:
			return fmt.Errorf("message %d: %w", n, err)
		case res.GetNumber() != n:
			return fmt.Errorf("message %d is %v", n, res)
		}
	}
}

func chat(ctx context.Context, work time.Duration, send func(*testv1.ChatRequest) error,
	receive func() (*testv1.ChatResponse, error), closeSend func() error,
) error {
	for n := range int64(messages) {
		// io.EOF on sending means that receiving tells the reason.
		if err := send(&testv1.ChatRequest{Number: n, Payload: payload}); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("send message %d: %w", n, err)
		}
		res, err := receive()
		if err != nil {
			return fmt.Errorf("receive message %d: %w", n, err)
		}
		if res.GetNumber() != n || len(res.GetPayload()) != len(payload) {
			return fmt.Errorf("message %d is %v", n, res)
		}
		if err := pause(ctx, work/messages); err != nil {
			return err
		}
	}
	if err := closeSend(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if _, err := receive(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
