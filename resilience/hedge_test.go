package resilience_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// slow hangs, until the call ends.
func slow(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// after ends so much later with err.
func after(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func down() error { return connect.NewError(unavailable, "down") }

func TestHedgeTakesTheFirstAnswer(t *testing.T) {
	t.Parallel()
	const delay = time.Second
	for name, c := range map[string]struct {
		ends  []func(context.Context) error
		max   int
		calls int
		took  time.Duration
		code  connect.Code // 0 is success
	}{
		"fast":                      {nil, 0, 1, 0, 0},
		"slow, then fast":           {[]func(context.Context) error{slow}, 0, 2, delay, 0},
		"slow, but not too slow":    {[]func(context.Context) error{after(1500*time.Millisecond, nil), slow}, 0, 2, 1500 * time.Millisecond, 0},
		"two slow, then fast":       {[]func(context.Context) error{slow, slow}, 3, 3, 2 * delay, 0},
		"an error is an answer":     {[]func(context.Context) error{slow, after(0, connect.NewError(connect.CodeNotFound, "none"))}, 0, 2, delay, connect.CodeNotFound},
		"fails at once":             {[]func(context.Context) error{after(0, down())}, 0, 1, 0, unavailable},
		"the hedge fails":           {[]func(context.Context) error{after(3*time.Second, nil), after(0, down())}, 0, 2, 3 * time.Second, 0},
		"the first fails":           {[]func(context.Context) error{after(1500*time.Millisecond, down()), after(2*time.Second, nil)}, 0, 2, 3 * time.Second, 0},
		"both fail":                 {[]func(context.Context) error{after(1500*time.Millisecond, down()), after(2*time.Second, down())}, 0, 2, 3 * time.Second, unavailable},
		"one attempt":               {[]func(context.Context) error{after(5*time.Second, nil)}, 1, 1, 5 * time.Second, 0},
		"fails while two are going": {[]func(context.Context) error{after(1500*time.Millisecond, down()), after(5*time.Second, nil)}, 3, 3, 2 * delay, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, scripted(c.ends...), func(t *testing.T, d doorway, s *script) {
				h := resilience.NewHedge(resilience.HedgeConfig{Delay: delay, MaxAttempts: c.max})
				began := time.Now()
				err := get(t.Context(), d.client(h.Interceptor()))
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.code == 0 && err != nil {
					t.Error(err)
				} else if c.code != 0 {
					connectumtest.WantError(t, err, c.code)
				}
				if s.calls() != c.calls {
					t.Errorf("%d calls, want %d", s.calls(), c.calls)
				}
			})
		})
	}
}

// Methods with side effects, even idempotent ones, and streams are left alone.
func TestHedgeSendsOnlyWhatHasNoSideEffects(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			srv, s := scripted(after(10*time.Second, nil))()
			client := connect.NewClient(srv.Transport(), resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor())
			if err := call(t.Context(), client, kind); err != nil || s.calls() != 1 {
				t.Errorf("%v: %v after %d calls", kind, err, s.calls())
			}
		})
	}
	for level, hedged := range map[connect.IdempotencyLevel]bool{
		connect.IdempotencyUnknown: false, connect.IdempotencyIdempotent: false, connect.IdempotencyNoSideEffects: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			srv := connect.NewServer()
			spec := connect.Spec{Procedure: "/a.B/C", IdempotencyLevel: level}
			srv.Register(connect.Method{Spec: spec, Handler: func(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
				if n.Add(1) == 1 {
					if err := after(10*time.Second, nil)(ctx); err != nil {
						return err
					}
				}
				return stream.Send(&testv1.GetResponse{Text: "a"})
			}})
			client := connect.NewClient(connectinprocess.New(srv), resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor())
			if err := client.CallUnary(t.Context(), spec, new(testv1.GetRequest), new(testv1.GetResponse)); err != nil {
				t.Error(err)
			}
			if (n.Load() == 2) != hedged {
				t.Errorf("%v: %d attempts", level, n.Load())
			}
		})
	}
}

// The attempts that lose are told so, and end.
func TestHedgeCancelsTheLosers(t *testing.T) {
	t.Parallel()
	ended := func() (*connectum.Server, chan error) {
		out := make(chan error, 10)
		var n atomic.Int64
		return server(func(ctx context.Context) error {
			if n.Add(1) == 2 {
				return nil
			}
			err := slow(ctx)
			out <- err
			return err
		}), out
	}
	eachDoor(t, ended, func(t *testing.T, d doorway, out chan error) {
		h := resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second})
		if err := get(t.Context(), d.client(h.Interceptor())); err != nil {
			t.Fatal(err)
		}
		if err := <-out; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestHedgeStopsWithItsCaller(t *testing.T) {
	t.Parallel()
	eachDoor(t, scripted(slow, slow), func(t *testing.T, d doorway, s *script) {
		client := d.client(resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor())
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, leave)
		connectumtest.WantError(t, get(ctx, client), connect.CodeCanceled)
		ctx, leave = context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer leave()
		connectumtest.WantError(t, get(ctx, client), connect.CodeDeadlineExceeded)
		if s.calls() != 2 {
			t.Errorf("%d calls", s.calls())
		}
	})
}

// After a quiet time as many are hedged at once as BudgetBurst says, and no more.
func TestHedgeBurstIsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const burst, clients = 3, 8
		var attempts atomic.Int64
		srv := server(func(ctx context.Context) error { attempts.Add(1); return after(5*time.Second, nil)(ctx) })
		h := resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second, Budget: 0.001, BudgetBurst: burst})
		client := connect.NewClient(srv.Transport(), h.Interceptor())
		var group calls
		for range clients {
			group.start(func() error { return get(t.Context(), client) })
		}
		if errs := failed(group.wait()); errs != nil {
			t.Error(errs)
		}
		connectumtest.Want(t, attempts.Load(), int64(clients+burst))
	})
}

// Slow for all, it must not double the load.
func TestHedgeBudgetKeepsAStormFromGrowing(t *testing.T) {
	t.Parallel()
	const storm = 2000
	amplification := func(t *testing.T, budget float64) float64 {
		var attempts atomic.Int64
		srv := server(func(ctx context.Context) error { attempts.Add(1); return after(5*time.Second, nil)(ctx) })
		h := resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second, Budget: budget, Name: "shop"})
		srv.AddMetrics(h.Metrics)
		client := connect.NewClient(srv.Transport(), h.Interceptor())
		var group calls
		for range 10 {
			group.start(func() error {
				for range storm / 10 {
					if err := get(t.Context(), client); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if errs := failed(group.wait()); errs != nil {
			t.Error(errs)
		}
		m := metrics(srv)
		connectumtest.Want(t, m["connectum_hedge_attempts_total,name=shop"], float64(attempts.Load()))
		connectumtest.Want(t, m["connectum_hedge_hedges_total,name=shop"], float64(attempts.Load()-storm))
		return float64(attempts.Load()) / storm
	}
	synctest.Test(t, func(t *testing.T) {
		// A tenth, and the 10 of the burst.
		if got := amplification(t, 0); got > 1.1+10.0/storm || got < 1.09 {
			t.Errorf("amplification %v with the budget", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the control
		if got := amplification(t, -1); got != 2 {
			t.Errorf("amplification %v without a budget", got)
		}
	})
}

// A bug further in is the caller's to recover, as it is without a hedge; it does
// not end the process.
func TestHedgeHandsPanicsToItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := connect.NewClient(server(nil).Transport(), resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor(),
			func(connect.ClientFunc) connect.ClientFunc {
				return func(context.Context, connect.Spec) (connect.ClientStream, error) { panic("a bug") }
			})
		wantPanic(t, "a bug", func() { _ = get(t.Context(), client) })
	})
}

// The caller's request, headers and answer are its own again when the call
// returns, whatever the losers still do with theirs.
func TestHedgeKeepsAttemptsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		loser := make(chan string, 1)
		client := testv1connect.NewTestServiceClient(connect.NewClient(server(nil).Transport(),
			resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor(),
			func(next connect.ClientFunc) connect.ClientFunc {
				return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
					stream, err := next(ctx, spec)
					if n.Add(1) == 1 {
						return &lateStream{stream, ctx, loser}, err
					}
					return stream, err
				}
			}))
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set("Of-The-Caller", "before")
		req := &testv1.GetRequest{Text: "before"}
		res, err := client.Get(ctx, req)
		if err != nil || res.GetText() != "before" {
			t.Fatal(res, err)
		}
		req.Text, res.Text = "after", "after"
		info.RequestHeader().Set("Of-The-Caller", "after")
		if got := <-loser; got != "before before" {
			t.Errorf("the loser sees %q", got)
		}
		if res.GetText() != "after" || info.RequestHeader().Get("Of-The-Caller") != "after" {
			t.Error("the loser has changed what is the caller's")
		}
	})
}

// lateStream looks at its request, and writes an answer, a minute after its call
// was cancelled.
type lateStream struct {
	connect.ClientStream
	ctx  context.Context
	seen chan string
}

func (s *lateStream) Send(msg any) error {
	go func() {
		<-s.ctx.Done()
		time.Sleep(time.Minute)
		info, _ := connect.CallInfoForClientContext(s.ctx)
		s.seen <- msg.(*testv1.GetRequest).GetText() + " " + info.RequestHeader().Get("Of-The-Caller")
	}()
	return nil
}

func (s *lateStream) Receive(msg any) error {
	<-s.ctx.Done()
	time.Sleep(30 * time.Second)
	msg.(*testv1.GetResponse).Text = "late"
	return s.ctx.Err()
}

func TestHedgeReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]resilience.HedgeConfig{
		"Delay (0s)": {}, "Delay (-1s)": {Delay: -time.Second}, "MaxAttempts (-1)": {Delay: 1, MaxAttempts: -1},
		"BudgetBurst (-1)": {Delay: 1, BudgetBurst: -1}, "Budget (NaN)": {Delay: 1, Budget: math.NaN()},
	} {
		wantPanic(t, text, func() { resilience.NewHedge(cfg) })
	}
	if got := resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).String(); got != "2 attempts, one more after 1s, budget 0.1" {
		t.Error(got)
	}
}
