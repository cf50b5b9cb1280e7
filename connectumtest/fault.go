package connectumtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Fault is an interceptor that does step with a share of the calls, rate of 1,
// instead of serving them. pattern is "pkg.Service/Method", "pkg.Service/*" or
// "*". Which calls it hits is drawn at random, the same in each run of a test
// whose calls come in the same order.
//
// A pattern that covers nothing, and a rate that is not from 0 to 1, are start
// errors: a test without its faults would pass. A step that ends without an error,
// and has neither received nor sent, lets the call pass: [Delay] makes it slow.
//
//	connectum.Config{Interceptors: []connectum.Interceptor{
//		connectumtest.Fault("*", 0.1, connectumtest.Fail(unavailable)),
//		connectumtest.Fault("user.v1.UserService/*", 1, connectumtest.Delay(time.Second)),
//	}}
func Fault(pattern string, rate float64, step Step) connectum.Interceptor {
	bind := func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if !covers(pattern, spec.Procedure) {
			return nil, nil
		}
		if !(rate >= 0 && rate <= 1) {
			return nil, fmt.Errorf("the rate of the fault is %v: it must be from 0 to 1", rate)
		}
		d := newDice(pattern + spec.Procedure)
		return func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				if !d.hit(rate) {
					return next(ctx, spec, stream)
				}
				seen := &touched{ServerStream: stream}
				if err := step(ctx, spec, seen); err != nil || seen.used.Load() {
					return err
				}
				return next(ctx, spec, stream)
			}
		}, nil
	}
	done := func(bound []connect.Spec) error {
		if !slices.ContainsFunc(bound, func(spec connect.Spec) bool { return covers(pattern, spec.Procedure) }) {
			return fmt.Errorf("%q covers no procedure of the server", pattern)
		}
		return nil
	}
	return connectum.Interceptor{Name: "fault " + pattern, Bind: bind, Done: done}
}

// covers matches as interceptor.Only does, which would bring a module along.
func covers(pattern, procedure string) bool {
	name := strings.TrimPrefix(procedure, "/")
	service, all := strings.CutSuffix(pattern, "/*")
	return pattern == "*" || pattern == name || all && strings.HasPrefix(name, service+"/")
}

// touched notes whether a step has used the stream.
type touched struct {
	connect.ServerStream
	used atomic.Bool // both directions may be in use
}

func (s *touched) Receive(msg any) error { s.used.Store(true); return s.ServerStream.Receive(msg) }
func (s *touched) Send(msg any) error    { s.used.Store(true); return s.ServerStream.Send(msg) }

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
