package resilience_test

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// script is a server whose calls of Get end as told, one after the other, and
// then succeed; it notes when they came.
type script struct {
	mu   sync.Mutex
	ends []func(ctx context.Context) error
	came []time.Time
}

func (s *script) step(ctx context.Context) error {
	s.mu.Lock()
	n := len(s.came)
	s.came = append(s.came, time.Now())
	s.mu.Unlock()
	if n < len(s.ends) {
		return s.ends[n](ctx)
	}
	return nil
}

func (s *script) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.came)
}

// gaps are the times between calls.
func (s *script) gaps() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(s.came); i++ {
		out = append(out, s.came[i].Sub(s.came[i-1]))
	}
	return out
}

func fails(codes ...connect.Code) []func(context.Context) error {
	var out []func(context.Context) error
	for i, code := range codes {
		out = append(out, func(context.Context) error { return connect.Errorf(code, "failure %d", i+1) })
	}
	return out
}

func scripted(ends ...func(context.Context) error) func() (*connectum.Server, *script) {
	return func() (*connectum.Server, *script) {
		s := &script{ends: ends}
		return server(s.step), s
	}
}

const unavailable = connect.CodeUnavailable
