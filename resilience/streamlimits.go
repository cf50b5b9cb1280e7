package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// StreamLimits bounds the time of streams. Unary calls have the server's own
// deadline ([connectum.Limits].Timeout). What is over a limit ends as
// deadline_exceeded, even where the handler waits for its client.
type StreamLimits struct {
	// Idle bounds the time in which no message is received or sent.
	// The default is no limit.
	Idle time.Duration

	// Total bounds the life of a stream. The default is no limit.
	Total time.Duration
}

// IsZero reports whether there is no limit.
func (l StreamLimits) IsZero() bool { return l == StreamLimits{} }

// String tells the settings on one line.
func (l StreamLimits) String() string {
	return fmt.Sprintf("idle %s, total %s", orNone(l.Idle), orNone(l.Total))
}

func orNone(d time.Duration) string {
	if d <= 0 {
		return "none"
	}
	return d.String()
}

// Interceptor returns the limits as a link of a server's chain. It leaves
// unary procedures out.
func (l StreamLimits) Interceptor() connectum.Interceptor {
	return connectum.Interceptor{
		Name: "stream-limits",
		Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
			if spec.StreamType == connect.StreamTypeUnary || l.Idle <= 0 && l.Total <= 0 {
				return nil, nil
			}
			return l.serve, nil
		},
		Done: func([]connect.Spec) error { return l.check() },
	}
}

func (l StreamLimits) check() error {
	var faults []error
	if l.Idle < 0 {
		faults = append(faults, fmt.Errorf("StreamLimits.Idle is %v: it must not be negative", l.Idle))
	}
	if l.Total < 0 {
		faults = append(faults, fmt.Errorf("StreamLimits.Total is %v: it must not be negative", l.Total))
	}
	return errors.Join(faults...)
}

func (l StreamLimits) serve(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if l.Total > 0 {
			total := time.AfterFunc(l.Total, func() {
				connectum.End(ctx, connect.Errorf(connect.CodeDeadlineExceeded, "the stream took longer than its limit of %v", l.Total))
			})
			defer total.Stop()
		}
		if l.Idle > 0 {
			idle := time.AfterFunc(l.Idle, func() {
				connectum.End(ctx, connect.Errorf(connect.CodeDeadlineExceeded, "the stream was idle for %v", l.Idle))
			})
			defer idle.Stop()
			stream = &idleStream{stream, idle, l.Idle}
		}
		return next(ctx, spec, stream)
	}
}

// idleStream winds its timer up with every message.
type idleStream struct {
	connect.ServerStream
	timer *time.Timer
	limit time.Duration
}

func (s *idleStream) Receive(msg any) error {
	err := s.ServerStream.Receive(msg)
	s.timer.Reset(s.limit)
	return err
}

func (s *idleStream) Send(msg any) error {
	err := s.ServerStream.Send(msg)
	s.timer.Reset(s.limit)
	return err
}
