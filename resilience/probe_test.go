package resilience_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// The delay varies by a tenth, so that clients do not probe in step.
func TestBreakersDoNotProbeInStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, m := moody()
		m.set(unavailable)
		var waits []time.Duration
		for range 100 {
			b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: 10 * time.Second, Logger: quietly})
			client := connect.NewClient(srv.Transport(), b.Interceptor("shop"))
			_ = get(t.Context(), client)
			info, ok := connectumtest.Detail[*errdetails.RetryInfo](get(t.Context(), client))
			if !ok {
				t.Fatal("the breaker has not opened")
			}
			waits = append(waits, info.GetRetryDelay().AsDuration())
		}
		// Of 100 uniform draws some are in each outer fifth of the range: it
		// fails once in 10^9 runs.
		least, most := slices.Min(waits), slices.Max(waits)
		if least < 9*time.Second || least > 9400*time.Millisecond || most < 10600*time.Millisecond || most > 11*time.Second {
			t.Errorf("delays from %v to %v, want them spread over 9 s to 11 s", least, most)
		}
	})
}

// Half-open lets so many through and no more, and needs all of them to succeed.
func TestBreakerProbesWithFewCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var m mood
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: time.Minute, Probes: 2, Logger: quietly})
		client := connect.NewClient(server(func(ctx context.Context) error {
			if err := m.step(ctx); err != nil {
				return err
			}
			return g.step(ctx)
		}).Transport(), b.Interceptor("shop"))
		m.set(connect.CodeInternal)
		_ = call(t.Context(), client, connect.StreamTypeUnary)
		m.set(0)
		time.Sleep(2 * time.Minute)
		var group calls
		for range 10 {
			group.start(func() error { return call(t.Context(), client, connect.StreamTypeUnary) })
		}
		synctest.Wait()
		if g.came() != 2 {
			t.Errorf("%d probes", g.came())
		}
		g.one()
		synctest.Wait()
		if s := b.States()[0].State; s != "half-open" {
			t.Errorf("after one of two probes it is %s", s)
		}
		g.open()
		if errs := failed(group.wait()); len(errs) != 8 {
			t.Errorf("%d refused, want 8", len(errs))
		}
		if s := b.States()[0].State; s != "closed" {
			t.Errorf("after both probes it is %s", s)
		}
	})
}

// Whatever becomes of a probe, the breaker goes on: a probe that is forgotten,
// given up, silent, or whose interceptor panics, does not keep it half-open.
func TestBreakerOutlivesItsProbes(t *testing.T) {
	t.Parallel()
	type client = *connect.Client
	for name, c := range map[string]struct {
		probe func(ctx context.Context, c client)
		after string // the state a Delay later
	}{
		"forgotten stream": {func(ctx context.Context, c client) {
			stream, err := testv1connect.NewTestServiceClient(c).Sum(ctx)
			_, _ = stream, err
		}, "open"},
		"closed without a word": {func(ctx context.Context, c client) {
			stream, _ := c.CallClientStream(ctx, connect.Spec{StreamType: connect.StreamTypeClient, Procedure: service + "Sum"})
			_ = stream.Close()
		}, "open"},
		"silent stream of answers": {func(ctx context.Context, c client) {
			_, _ = c.CallClientStream(ctx, connect.Spec{StreamType: connect.StreamTypeBidi, Procedure: service + "Sum"})
		}, "closed"},
		"panic": {func(ctx context.Context, c client) {
			defer func() { _ = recover() }()
			_, _ = c.CallClientStream(context.WithValue(ctx, panicKey{}, true), connect.Spec{StreamType: connect.StreamTypeClient, Procedure: service + "Sum"})
		}, "open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv, m := moody()
				b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: 10 * time.Second, Logger: quietly})
				client := connect.NewClient(srv.Transport(), b.Interceptor("shop"), func(next connect.ClientFunc) connect.ClientFunc {
					return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
						if ctx.Value(panicKey{}) != nil {
							panic("a bug")
						}
						return next(ctx, spec)
					}
				})
				m.set(connect.CodeUnavailable)
				_ = call(t.Context(), client, connect.StreamTypeClient)
				m.set(0)
				time.Sleep(12 * time.Second)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.probe(ctx, client)
				if s := b.States()[0].State; name != "closed without a word" && s != "half-open" {
					t.Errorf("while it is probed it is %s", s)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if s := b.States()[0].State; s != c.after {
					t.Errorf("after the probe it is %s, want %s", s, c.after)
				}
				time.Sleep(12 * time.Second)
				if err := call(t.Context(), client, connect.StreamTypeClient); err != nil {
					t.Errorf("it never comes back: %v", err)
				}
			})
		})
	}
}

type panicKey struct{}

// A verdict of a call from before the breaker opened does not close it.
func TestBreakerIgnoresOldVerdicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var bad atomic.Bool
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: 10 * time.Second, Logger: quietly})
		client := connect.NewClient(server(func(ctx context.Context) error {
			if bad.Load() {
				return connect.NewError(connect.CodeInternal, "as told")
			}
			return g.step(ctx)
		}).Transport(), b.Interceptor("shop"))
		var old, probe calls
		old.start(func() error { return call(t.Context(), client, connect.StreamTypeUnary) })
		synctest.Wait()
		bad.Store(true)
		_ = call(t.Context(), client, connect.StreamTypeUnary)
		bad.Store(false)
		time.Sleep(11 * time.Second)
		probe.start(func() error { return call(t.Context(), client, connect.StreamTypeUnary) })
		synctest.Wait()
		g.one() // the older is first in the queue of the gate
		if err := old.wait()[0]; err != nil {
			t.Error(err)
		}
		if s := b.States()[0].State; s != "half-open" {
			t.Errorf("an old success made it %s", s)
		}
		g.one()
		if err := probe.wait()[0]; err != nil {
			t.Error(err)
		}
		if s := b.States()[0].State; s != "closed" {
			t.Errorf("the probe made it %s", s)
		}
	})
}
