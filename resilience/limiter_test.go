package resilience_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/resilience"
)

// limited makes a server behind a limiter, with handlers that wait for the gate.
func limited(cfg resilience.LimiterConfig) func() (*connectum.Server, *gate) {
	return func() (*connectum.Server, *gate) {
		g, l := newGate(), resilience.NewLimiter(cfg)
		srv := server(g.step, l.Interceptor())
		srv.AddMetrics(l.Metrics)
		return srv, g
	}
}

// limiterMetrics are limit, running, waiting and refused of a procedure.
func limiterMetrics(srv *connectum.Server, procedure string) [4]float64 {
	m, of := metrics(srv), ",procedure="+procedure
	return [4]float64{m["connectum_limiter_limit"+of], m["connectum_limiter_running"+of], m["connectum_limiter_waiting"+of],
		m["connectum_limiter_refused_total"+of]}
}

func TestLimiterRunsThenQueuesThenSheds(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, limited(resilience.LimiterConfig{Max: 2, Initial: 2}), func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) {
					return
				}
				client := d.client()
				var group calls
				for range 8 { // 2 run, and 3 × 2 wait
					group.start(func() error { return call(t.Context(), client, kind) })
					synctest.Wait()
				}
				if g.came() != 2 {
					t.Errorf("%d handlers run, want 2", g.came())
				}
				connectumtest.WantError(t, call(t.Context(), client, kind), connect.CodeResourceExhausted,
					connectumtest.Containing("2 of 2 calls run, 6 wait"),
					connectumtest.WithDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}))
				connectumtest.Want(t, limiterMetrics(d.srv, procedures[kind]), [4]float64{2, 2, 6, 1})
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
				synctest.Wait()
				connectumtest.Want(t, limiterMetrics(d.srv, procedures[kind]), [4]float64{2, 0, 0, 1})
			})
		})
	}
}

func TestLimiterFreesThePlaceOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, limited(resilience.LimiterConfig{Max: 1, Initial: 1}), func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) || d.HalfDuplex && kind == connect.StreamTypeClient {
					return // as in a bulkhead
				}
				client := d.client()
				var group, left calls
				group.start(func() error { return call(t.Context(), client, kind) })
				synctest.Wait()
				ctx, leave := context.WithCancel(t.Context())
				left.start(func() error { return call(ctx, client, kind) })
				synctest.Wait()
				connectumtest.Want(t, limiterMetrics(d.srv, procedures[kind]), [4]float64{1, 1, 1, 0}) // the control
				leave()
				if err := left.wait()[0]; connect.CodeOf(err) != connect.CodeCanceled && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				synctest.Wait()
				connectumtest.Want(t, limiterMetrics(d.srv, procedures[kind]), [4]float64{1, 1, 0, 0})
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
				if g.came() != 1 {
					t.Errorf("%d handlers ran, want 1", g.came())
				}
			})
		})
	}
}

func TestLimiterGivesThePlaceBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context) error{
		"success": nil,
		"failure": func(context.Context) error { return connect.NewError(connect.CodeNotFound, "none") },
		"panic":   func(context.Context) error { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := resilience.NewLimiter(resilience.LimiterConfig{Max: 1, Initial: 1})
				srv := server(end, l.Interceptor())
				srv.AddMetrics(l.Metrics)
				client := connectumtest.Client(t, srv)
				for _, kind := range kinds {
					for range 10 { // a place that is lost makes the next wait for ever
						_ = call(t.Context(), client, kind)
					}
					connectumtest.Want(t, limiterMetrics(srv, procedures[kind]), [4]float64{1, 0, 0, 0})
				}
			})
		})
	}
}

// machine serves calls as a machine does that can work on some at one time: each
// takes 10 ms of one of them.
func machine(workers int) func(context.Context) error {
	free := make(chan struct{}, workers)
	return func(ctx context.Context) error {
		free <- struct{}{}
		time.Sleep(10 * time.Millisecond)
		<-free
		return nil
	}
}

// load calls for sixty windows from so many clients, each again as soon as it has
// its answer, and returns the limit that was found.
func load(t *testing.T, cfg resilience.LimiterConfig, workers, clients int, kind connect.StreamType) float64 {
	t.Helper()
	cfg.Window = 100 * time.Millisecond
	l := resilience.NewLimiter(cfg)
	srv := server(machine(workers), l.Interceptor())
	srv.AddMetrics(l.Metrics)
	client := connectumtest.Client(t, srv)
	end := time.Now().Add(60 * cfg.Window)
	var group calls
	for range clients {
		group.start(func() error {
			for time.Now().Before(end) {
				if err := call(t.Context(), client, kind); err != nil {
					if connect.CodeOf(err) != connect.CodeResourceExhausted {
						return err
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			return nil
		})
	}
	if errs := failed(group.wait()); errs != nil {
		t.Error(errs)
	}
	return limiterMetrics(srv, procedures[kind])[0]
}

func TestLimiterFindsTheConcurrency(t *testing.T) {
	t.Parallel()
	cfg := resilience.LimiterConfig{Initial: 20}
	t.Run("more brings more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			if got := load(t, cfg, 1000, 60, connect.StreamTypeUnary); got < 40 {
				t.Errorf("the limit is %v, and 60 clients meet no resistance", got)
			}
		})
	})
	t.Run("more only takes longer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			if got := load(t, cfg, 5, 60, connect.StreamTypeUnary); got > 40 {
				t.Errorf("the limit is %v, and the machine can do 5", got)
			}
		})
	})
	t.Run("streams teach nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			if got := load(t, cfg, 1000, 60, connect.StreamTypeServer); got != 20 {
				t.Errorf("the limit has moved to %v", got)
			}
		})
	})
	t.Run("stays within its bounds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			if got := load(t, resilience.LimiterConfig{Min: 18, Initial: 20, Max: 22}, 1000, 60, connect.StreamTypeUnary); got != 22 {
				t.Errorf("the limit is %v, want 22", got)
			}
		})
	})
}

// Under overload those of low priority are shed, and those of high priority are
// not; without priorities it hits all alike.
func TestLimiterShedsByPriority(t *testing.T) {
	t.Parallel()
	important := func(ctx context.Context, _ connect.Spec) resilience.Priority {
		if info, _ := connect.CallInfoForServerContext(ctx); info.RequestHeader().Get("Important") != "" {
			return 1000 // more than there is counts as the highest
		}
		return -1000
	}
	t.Run("priorities", func(t *testing.T) {
		t.Parallel()
		low, high := overload(t, important)
		if low < 1000 || high > low/20 { // a full queue refuses all, and levels are drawn at random
			t.Errorf("%d calls of low priority were shed, and %d of high", low, high)
		}
	})
	t.Run("the control", func(t *testing.T) {
		t.Parallel()
		low, high := overload(t, nil)
		if high < low/2 {
			t.Errorf("%d calls of low priority were shed, and %d of high", low, high)
		}
	})
}

// overload calls 1400 times a second what can do 1000, three calls of seven
// being important, and returns how many of the others and of them were shed.
func overload(t *testing.T, priority func(context.Context, connect.Spec) resilience.Priority) (low, high int64) {
	var shed [2]atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(resilience.LimiterConfig{Min: 10, Initial: 10, Max: 10, Priority: priority})
		client := connectumtest.Client(t, server(machine(10), l.Interceptor()))
		var group sync.WaitGroup
		for n := range 10_000 {
			rank := 0
			if n%7 < 3 {
				rank = 1
			}
			group.Go(func() {
				ctx, info := connect.NewClientContext(t.Context())
				if rank == 1 {
					info.RequestHeader().Set("Important", "yes")
				}
				if err := call(ctx, client, connect.StreamTypeUnary); err != nil {
					connectumtest.WantError(t, err, connect.CodeResourceExhausted)
					shed[rank].Add(1)
				}
			})
			time.Sleep(time.Second / 1400)
		}
		group.Wait()
	})
	return shed[0].Load(), shed[1].Load()
}

func TestLimiterReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]resilience.LimiterConfig{
		"want 1 <= Min (-1)":             {Min: -1},
		"Initial (5) <= Max (3)":         {Initial: 5, Max: 3},
		"Min (10) <= Initial (5)":        {Min: 10, Initial: 5},
		"LimiterConfig.Window is -1s":    {Window: -time.Second},
		"want 1 <= Min (1) <= Initial (": {Max: -1},
	} {
		wantStartError(t, resilience.NewLimiter(cfg).Interceptor(), text)
	}
	for _, cfg := range []resilience.LimiterConfig{{}, {Min: 30}, {Max: 5}, {Window: time.Hour}} {
		if err := server(nil, resilience.NewLimiter(cfg).Interceptor()).Check(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if got := resilience.NewLimiter(resilience.LimiterConfig{}).String(); got != "1 to 200 calls at one time, from 20" {
		t.Error(got)
	}
}
