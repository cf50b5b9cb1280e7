package resilience_test

import (
	"context"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// everything is the whole chain of a client, in its order.
func everything(b *resilience.Breaker) []connect.ClientInterceptor {
	return []connect.ClientInterceptor{
		resilience.Fallback(resilience.FallbackFor(service+"Get", cached, unavailable)),
		b.Interceptor("shop"),
		resilience.NewRetry(resilience.RetryConfig{Delay: time.Second, MaxDelay: time.Second}).Interceptor(),
		resilience.NewHedge(resilience.HedgeConfig{Delay: 2 * time.Second}).Interceptor(),
		resilience.AttemptTimeout(5 * time.Second),
	}
}

// Behaviour 99: retry, breaker, timeout, hedge and fallback at work together; the same by
// every door.
func TestTheWholeChainOfAClient(t *testing.T) {
	t.Parallel()
	eachDoor(t, scripted(
		// The first call: an attempt that hangs and its hedge, which hangs too, are
		// given up; a second attempt fails; the third succeeds.
		slow, slow, after(0, down()), after(0, nil),
		// The second is hedged.
		slow, after(0, nil),
		// The third is wrong.
		after(0, connect.NewError(connect.CodeInvalidArgument, "wrong")),
		// Then the target is down.
		after(0, down()), after(0, down()), after(0, down()),
		after(0, down()), after(0, down()), after(0, down()),
	), func(t *testing.T, d doorway, s *script) {
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, Delay: 30 * time.Second, Logger: quietly})
		client := testv1connect.NewTestServiceClient(d.client(everything(b)...))
		ask := func() (string, error) {
			res, err := client.Get(t.Context(), &testv1.GetRequest{Text: "a"})
			return res.GetText(), err
		}
		state := func(want string) {
			t.Helper()
			connectumtest.Want(t, b.States(), []resilience.BreakerState{{Target: "shop", Procedure: service + "Get", State: want}})
		}
		began := time.Now()
		if text, err := ask(); err != nil || text != "a" || s.calls() != 4 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second { // 2 + 5 s, and two waits
			t.Errorf("the first call took %v", took)
		}
		if text, err := ask(); err != nil || text != "a" || s.calls() != 6 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		_, err := ask()
		connectumtest.WantError(t, err, connect.CodeInvalidArgument)
		state("closed")
		// 89: a call that is repeated counts once.
		if text, err := ask(); err != nil || text != "cached a, unavailable" || s.calls() != 10 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		state("closed")
		if text, err := ask(); err != nil || text != "cached a, unavailable" || s.calls() != 13 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		state("open")
		if text, err := ask(); err != nil || text != "cached a, unavailable" || s.calls() != 13 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		time.Sleep(time.Minute)
		if text, err := ask(); err != nil || text != "a" || s.calls() != 14 {
			t.Errorf("%q, %v after %d attempts", text, err, s.calls())
		}
		state("closed")
	})
}

// Streams go through the whole chain as they are.
func TestTheWholeChainOfAClientLeavesStreamsAlone(t *testing.T) {
	t.Parallel()
	eachDoor(t, scripted(after(0, down()), after(time.Minute, nil)), func(t *testing.T, d doorway, s *script) {
		for i, kind := range kinds {
			if kind == connect.StreamTypeUnary || !d.has(kind) {
				continue
			}
			client := d.client(everything(resilience.NewBreaker(resilience.BreakerConfig{Logger: quietly}))...)
			before := s.calls()
			if err := call(t.Context(), client, kind); (err != nil) != (before == 0) {
				t.Errorf("%v: %v", kinds[i], err)
			}
			if s.calls() != before+1 {
				t.Errorf("%v: %d attempts", kind, s.calls()-before)
			}
		}
	})
}

// Behaviour 99: the chain of a server, full and empty, for every door and kind.
func TestTheWholeChainOfAServer(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func() (*connectum.Server, *gate) {
				g := newGate()
				limiter := resilience.NewLimiter(resilience.LimiterConfig{Initial: 5, Min: 5})
				bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 2, Queue: 2})
				rate := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 6, Per: time.Hour})
				srv := server(g.step, limiter.Interceptor(), bulkhead.Interceptor(), rate.Interceptor(),
					resilience.StreamLimits{Idle: time.Minute, Total: time.Hour}.Interceptor())
				srv.AddMetrics(limiter.Metrics)
				srv.AddMetrics(bulkhead.Metrics)
				srv.AddMetrics(rate.Metrics)
				return srv, g
			}, func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) {
					return
				}
				client := d.client()
				var group calls
				for range 4 {
					group.start(func() error { return call(t.Context(), client, kind) })
					synctest.Wait()
				}
				connectumtest.WantError(t, call(t.Context(), client, kind), connect.CodeResourceExhausted, connectumtest.Containing("2 of 2 run"))
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
				for range 2 {
					if err := call(t.Context(), client, kind); err != nil {
						t.Error(err)
					}
				}
				connectumtest.WantError(t, call(t.Context(), client, kind), connect.CodeResourceExhausted, connectumtest.Containing("6 calls in 1h"))
				synctest.Wait()
				m, of := metrics(d.srv), ",procedure="+procedures[kind]
				connectumtest.Want(t, []float64{m["connectum_limiter_running"+of], m["connectum_limiter_waiting"+of], m["connectum_bulkhead_running"+of],
					m["connectum_bulkhead_refused_total"+of], m["connectum_ratelimit_refused_total"]}, []float64{0, 0, 0, 1, 1})
				if chain := d.srv.Chain(procedures[kind]); len(chain) != 4 && kind == connect.StreamTypeUnary || len(chain) != 5 && kind != connect.StreamTypeUnary {
					t.Error(chain)
				}
			})
		})
	}
}

// one makes limits of one call at a time, and then as many calls as rate says.
func one(rate int) (*resilience.Limiter, *resilience.Bulkhead, *resilience.RateLimit) {
	return resilience.NewLimiter(resilience.LimiterConfig{Min: 1, Max: 1, Initial: 1}),
		resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 2, Queue: 2}),
		resilience.NewRateLimit(resilience.RateLimitConfig{Calls: rate, Per: time.Hour})
}

// A call that waits at one link has taken nothing of those further in.
func TestACallThatWaitsTakesNothingFurtherIn(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func() (*connectum.Server, *gate) {
				g := newGate()
				limiter, bulkhead, rate := one(2)
				srv := server(g.step, limiter.Interceptor(), bulkhead.Interceptor(), rate.Interceptor())
				srv.AddMetrics(bulkhead.Metrics)
				return srv, g
			}, func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) || kind == connect.StreamTypeClient && d.HalfDuplex {
					return // over HTTP/1.1 it is not seen that the client of such a stream has left
				}
				client := d.client()
				var group, left calls
				group.start(func() error { return call(t.Context(), client, kind) })
				synctest.Wait()
				ctx, leave := context.WithCancel(t.Context())
				left.start(func() error { return call(ctx, client, kind) })
				synctest.Wait()
				if n := metrics(d.srv)["connectum_bulkhead_running,procedure="+procedures[kind]]; n != 1 {
					t.Errorf("%v places of the bulkhead are taken, want 1: the other call waits for the limiter", n)
				}
				leave()
				if errs := left.wait(); errs[0] == nil {
					t.Error("the call that was left succeeded")
				}
				synctest.Wait()
				g.open()
				group.start(func() error { return call(t.Context(), client, kind) })
				if errs := failed(group.wait()); errs != nil {
					t.Errorf("the call that was left has used up the rate: %v", errs)
				}
			})
		})
	}
}

// Were it otherwise, two calls could wait for one another.
func TestALimiterAndABulkheadDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limiter, _, _ := one(1)
		bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: 5})
		g, ended, goOn := newGate(), make(chan struct{}, 1), make(chan struct{})
		between := connectum.Wrap("between", func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				err := next(ctx, spec, stream)
				ended <- struct{}{} // the place of the bulkhead is free again, that of the limiter is not
				<-goOn
				return err
			}
		})
		srv := server(g.step, limiter.Interceptor(), between, bulkhead.Interceptor())
		client := connect.NewClient(srv.Transport())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var group calls
		for range 2 { // one runs, one waits for both
			group.start(func() error { return call(ctx, client, connect.StreamTypeUnary) })
			synctest.Wait()
		}
		g.one()
		<-ended
		group.start(func() error { return call(ctx, client, connect.StreamTypeUnary) })
		synctest.Wait()
		close(goOn)
		g.open()
		go func() {
			for range ended {
			}
		}()
		errs := failed(group.wait())
		close(ended)
		if errs != nil {
			t.Error(errs)
		}
	})
}

// A connection that the peer has reset is the fault of the infrastructure, not of
// a caller who has cancelled nothing, whatever the transport calls it.
func TestAResetConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	reset := connect.NewError(connect.CodeCanceled, "write: broken pipe").WithCause(syscall.EPIPE)
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"reset":                {reset, 3},
		"the server cancelled": {connect.NewError(connect.CodeCanceled, "by the server").WithRemote(), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Logger: quietly})
			tries := 0
			next := func(context.Context, connect.Spec) (connect.ClientStream, error) {
				tries++
				return &connectumtest.ClientStream{End: c.err}, nil
			}
			spec := connect.Spec{Procedure: service + "Get", IdempotencyLevel: connect.IdempotencyNoSideEffects}
			around := b.Interceptor("shop")(resilience.NewRetry(resilience.RetryConfig{}).Interceptor()(next))
			stream, err := around(t.Context(), spec)
			if err == nil {
				_ = stream.Send(new(testv1.GetRequest))
				err = stream.Receive(new(testv1.GetResponse))
				_ = stream.Close()
			}
			if err == nil || tries != c.tries {
				t.Errorf("%s: %v after %d attempts", name, err, tries)
			}
			if state := b.States()[0].State; (state == "open") != (c.tries > 1) {
				t.Errorf("%s: the breaker is %s", name, state)
			}
		})
	}
}

// A server that is cut off in the middle of a call is tried again, by every door
// whose protocol tells that from a bug.
func TestRetryOutlivesAServerThatGoesAway(t *testing.T) {
	t.Parallel()
	eachDoor(t, func() (*connectum.Server, *script) {
		s := new(script)
		srv := connectum.New(connectum.Config{Logger: quietly, Interceptors: []connectum.Interceptor{
			connectum.Wrap("cut", func(next connect.ServerFunc) connect.ServerFunc {
				return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
					if s.calls() == 0 {
						_ = s.step(ctx)
						return connectumtest.Disconnect()(ctx, spec, stream)
					}
					_ = s.step(ctx)
					return next(ctx, spec, stream)
				}
			}),
		}})
		stepping(nil).Register(srv.RPC())
		return srv, s
	}, func(t *testing.T, d doorway, s *script) {
		codes := []connect.Code{unavailable, connect.CodeInternal, connect.CodeUnknown}
		err := get(t.Context(), d.client(resilience.NewRetry(resilience.RetryConfig{Codes: codes}).Interceptor()))
		if err != nil || s.calls() != 2 {
			t.Errorf("%v after %d attempts", err, s.calls())
		}
	})
}

// What interceptors hand out in place of a stream behaves as one.
func TestAHeldUnaryCallBehavesAsAStream(t *testing.T) {
	t.Parallel()
	srv, s := scripted()()
	around := resilience.NewRetry(resilience.RetryConfig{}).Interceptor()
	spec := connect.Spec{Procedure: service + "Get", IdempotencyLevel: connect.IdempotencyNoSideEffects}
	stream, err := connect.NewClient(srv.Transport(), around).CallClientStream(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	res := new(testv1.GetResponse)
	for _, err := range []error{stream.SendHeaders(), stream.Send(&testv1.GetRequest{Text: "a"}), stream.CloseSend(), stream.Receive(res)} {
		if err != nil {
			t.Error(err)
		}
	}
	if res.GetText() != "a" {
		t.Error(res)
	}
	if err := stream.Receive(res); err != io.EOF {
		t.Errorf("after the answer: %v", err)
	}
	if stream.Send(&testv1.GetRequest{}) == nil {
		t.Error("a unary call takes two requests")
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	// Who closes it before the answer has called nobody.
	stream, err = connect.NewClient(srv.Transport(), around).CallClientStream(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&testv1.GetRequest{})
	_ = stream.Close()
	if err := stream.Receive(res); err == nil {
		t.Error("a call that was closed is made")
	}
	if s.calls() != 1 {
		t.Errorf("%d calls", s.calls())
	}
}
