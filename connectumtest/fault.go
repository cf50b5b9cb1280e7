package connectumtest

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Fault is an interceptor that does step with a share of the calls, rate of 1,
// instead of serving them. pattern is "pkg.Service/Method", "pkg.Service/*" or
// "*". Which calls it hits is drawn at random, the same in each run of a test
// whose calls come in the same order.
//
// A step that ends without an error, and has neither received nor sent, lets
// the call pass: [Delay] makes it slow.
//
//	connectum.Config{Interceptors: []connectum.Interceptor{
//		connectumtest.Fault("*", 0.1, connectumtest.Fail(unavailable)),
//		connectumtest.Fault("user.v1.UserService/*", 1, connectumtest.Delay(time.Second)),
//	}}
func Fault(pattern string, rate float64, step Step) connectum.Interceptor {
	return connectum.Interceptor{Name: "fault " + pattern, Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if !covers(pattern, spec.Procedure) {
			return nil, nil
		}
		d := newDice(pattern + spec.Procedure)
		return func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				if !d.hit(rate) {
					return next(ctx, spec, stream)
				}
				seen := &touched{ServerStream: stream}
				if err := step(ctx, spec, seen); err != nil || seen.used {
					return err
				}
				return next(ctx, spec, stream)
			}
		}, nil
	}}
}

func covers(pattern, procedure string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(strings.TrimPrefix(procedure, "/"), prefix)
	}
	return strings.TrimPrefix(procedure, "/") == pattern
}

// touched notes whether a step has used the stream.
type touched struct {
	connect.ServerStream
	used bool
}

func (s *touched) Receive(msg any) error { s.used = true; return s.ServerStream.Receive(msg) }
func (s *touched) Send(msg any) error    { s.used = true; return s.ServerStream.Send(msg) }

type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed string) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // a hash never fails
	return &dice{r: rand.New(rand.NewPCG(h.Sum64(), 0))}
}

func (d *dice) hit(rate float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < rate
}
