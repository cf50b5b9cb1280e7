package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Behaviour 85: under capacity passes, at capacity queues, queue full is refused with the
// used numbers (86); behind every door, for every kind.
func TestBulkheadRunsThenQueuesThenRefuses(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, gated(resilience.BulkheadConfig{Capacity: 2, Queue: 1}), func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) {
					return
				}
				client := d.client()
				var group calls
				for range 3 {
					group.start(func() error { return call(t.Context(), client, kind) })
				}
				synctest.Wait()
				if g.came() != 2 {
					t.Errorf("%d handlers run, want 2", g.came())
				}
				err := call(t.Context(), client, kind)
				connectumtest.WantError(t, err, connect.CodeResourceExhausted,
					connectumtest.Containing("2 of 2 run, 1 of 1 wait"),
					connectumtest.WithDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}))
				connectumtest.Want(t, bulkheadMetrics(d.srv, procedures[kind]), [3]float64{2, 1, 1})
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
				synctest.Wait()
				connectumtest.Want(t, bulkheadMetrics(d.srv, procedures[kind]), [3]float64{0, 0, 1})
				// 90: what one procedure uses is nothing to another.
				if err := get(t.Context(), client); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Behaviour 86: a queued call whose client leaves frees its place, and its handler never
// runs.
func TestBulkheadFreesThePlaceOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, gated(resilience.BulkheadConfig{Capacity: 1, Queue: 1}), func(t *testing.T, d doorway, g *gate) {
				if !d.has(kind) || d.HalfDuplex && kind == connect.StreamTypeClient {
					return // net/http does not notice, as BulkheadConfig.Queue says
				}
				client := d.client()
				var group, left calls
				group.start(func() error { return call(t.Context(), client, kind) })
				synctest.Wait()
				ctx, leave := context.WithCancel(t.Context())
				left.start(func() error { return call(ctx, client, kind) })
				synctest.Wait()
				// The control: while it waits there is no room for a third.
				connectumtest.WantError(t, call(t.Context(), client, kind), connect.CodeResourceExhausted)
				leave()
				if err := left.wait()[0]; connect.CodeOf(err) != connect.CodeCanceled && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				synctest.Wait()
				connectumtest.Want(t, bulkheadMetrics(d.srv, procedures[kind]), [3]float64{1, 0, 1})
				group.start(func() error { return call(t.Context(), client, kind) })
				synctest.Wait()
				connectumtest.Want(t, bulkheadMetrics(d.srv, procedures[kind]), [3]float64{1, 1, 1})
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
				if g.came() != 2 {
					t.Errorf("%d handlers ran, want 2", g.came())
				}
			})
		})
	}
}

func TestBulkheadFreesThePlaceOfACallThatIsOverdue(t *testing.T) {
	t.Parallel()
	eachDoor(t, gated(resilience.BulkheadConfig{Capacity: 1, Queue: 1}), func(t *testing.T, d doorway, g *gate) {
		client := d.client()
		var group calls
		group.start(func() error { return call(t.Context(), client, connect.StreamTypeUnary) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		connectumtest.WantError(t, call(ctx, client, connect.StreamTypeUnary), connect.CodeDeadlineExceeded)
		synctest.Wait()
		connectumtest.Want(t, bulkheadMetrics(d.srv, procedures[connect.StreamTypeUnary]), [3]float64{1, 0, 0})
		g.open()
		if errs := failed(group.wait()); errs != nil {
			t.Error(errs)
		}
	})
}

func TestBulkheadRefusesAfterMaxWait(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: 3, MaxWait: 2 * time.Second, RetryAfter: -1})
				g := newGate()
				client := connectumtest.Client(t, server(g.step, b.Interceptor()))
				var group calls
				group.start(func() error { return call(t.Context(), client, kind) })
				synctest.Wait()
				began := time.Now()
				err := call(t.Context(), client, kind)
				connectumtest.WantError(t, err, connect.CodeResourceExhausted, connectumtest.Containing("no room within 2s: 1 of 1 run, 0 of 3 wait"))
				if _, told := connectumtest.Detail[*errdetails.RetryInfo](err); told {
					t.Error("a negative RetryAfter tells clients when to come back")
				}
				if waited := time.Since(began); waited != 2*time.Second {
					t.Errorf("refused after %v", waited)
				}
				// The control: room in time is taken.
				group.start(func() error { return call(t.Context(), client, kind) })
				time.Sleep(time.Second)
				g.open()
				if errs := failed(group.wait()); errs != nil {
					t.Error(errs)
				}
			})
		})
	}
}

// Behaviour 85: first come, first served.
func TestBulkheadServesTheQueueInOrder(t *testing.T) {
	t.Parallel()
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: 20})
			var mu sync.Mutex
			var order []string
			pass := make(chan struct{})
			around := b.Interceptor()
			var group calls
			for i := range 10 {
				name := fmt.Sprint(i)
				group.start(func() error {
					return connectumtest.Call(t, around, connectumtest.Exchange{Kind: kind,
						Handler: connectumtest.Step(func(_ context.Context, spec connect.Spec, stream connect.ServerStream) error {
							mu.Lock()
							order = append(order, name)
							mu.Unlock()
							<-pass
							return nil
						})}).Err
				})
				synctest.Wait()
			}
			for range 10 {
				pass <- struct{}{}
				synctest.Wait()
			}
			if errs := failed(group.wait()); errs != nil {
				t.Error(errs)
			}
			if !slices.IsSorted(order) || len(order) != 10 {
				t.Errorf("order %v", order)
			}
		})
	})
}

// Behaviour 85: the place is given back whatever becomes of the call; zero queue rejects
// at once.
func TestBulkheadGivesThePlaceBack(t *testing.T) {
	t.Parallel()
	ends := map[string]func(context.Context) error{
		"success": nil,
		"failure": func(context.Context) error { return connect.NewError(connect.CodeNotFound, "none") },
		"panic":   func(context.Context) error { panic("a bug") },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1})
			k := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Key: resilience.ByPeer})
			client := connectumtest.Client(t, server(end, b.Interceptor(), k.Interceptor()))
			for _, kind := range kinds {
				for range 5 {
					if err := call(t.Context(), client, kind); connect.CodeOf(err) == connect.CodeResourceExhausted && err != nil {
						t.Fatalf("%v: %v", kind, err)
					}
				}
			}
		})
	}
}

func TestBulkheadKeepsKeysApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: 1, Key: resilience.ByHeader("Tenant")})
		g := newGate()
		srv := server(g.step, b.Interceptor())
		srv.AddMetrics(b.Metrics)
		client := connectumtest.Client(t, srv)
		as := func(tenant string, kind connect.StreamType) error {
			ctx, info := connect.NewClientContext(t.Context())
			info.RequestHeader().Set("Tenant", tenant)
			return call(ctx, client, kind)
		}
		var group calls
		group.start(func() error { return as("a", connect.StreamTypeUnary) })
		synctest.Wait()
		group.start(func() error { return as("b", connect.StreamTypeServer) })
		synctest.Wait()
		if g.came() != 2 {
			t.Errorf("%d handlers run; the keys share", g.came())
		}
		group.start(func() error { return as("a", connect.StreamTypeBidi) }) // another procedure, the same key
		synctest.Wait()
		if g.came() != 2 {
			t.Error("two calls of one key run")
		}
		connectumtest.WantError(t, as("a", connect.StreamTypeUnary), connect.CodeResourceExhausted, connectumtest.Containing("1 of 1 run, 1 of 1 wait"))
		m := metrics(srv)
		connectumtest.Want(t, [3]float64{m["connectum_bulkhead_running"], m["connectum_bulkhead_waiting"], m["connectum_bulkhead_refused_total"]}, [3]float64{2, 1, 1})
		g.open()
		if errs := failed(group.wait()); errs != nil {
			t.Error(errs)
		}
		if m := metrics(srv); m["connectum_bulkhead_running"] != 0 || m["connectum_bulkhead_refused_total"] != 1 {
			t.Error(m)
		}
	})
}

// Behaviour 86: health calls are exempt.
func TestBulkheadLeavesInfrastructureAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Key: func(context.Context, connect.Spec) string { return "" }})
		g := newGate()
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{b.Interceptor()}})
		connectumtest.Script{"*": connectumtest.Step(func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error { return g.step(ctx) })}.
			Register(srv.RPC(), emptyService())
		stepping(nil).Register(srv.System())
		client := connectumtest.Client(t, srv)
		var group calls
		group.start(func() error { return nothing(t.Context(), client) })
		synctest.Wait()
		for _, kind := range kinds {
			if err := call(t.Context(), client, kind); err != nil {
				t.Error(kind, err)
			}
		}
		connectumtest.WantError(t, nothing(t.Context(), client), connect.CodeResourceExhausted) // the control
		g.open()
		_ = group.wait()
	})
}

// However calls come and go, no more than Capacity run, and all that were taken
// in are served.
func TestBulkheadHoldsUnderContention(t *testing.T) {
	t.Parallel()
	b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 3, Queue: 1000})
	var running, most atomic.Int64
	client := connectumtest.Client(t, server(func(context.Context) error {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer running.Add(-1)
		return nil
	}, b.Interceptor()))
	var group calls
	for range 20 {
		group.start(func() error {
			var errs []error
			for i := range 200 {
				errs = append(errs, call(context.Background(), client, kinds[i%4]))
			}
			return errors.Join(errs...)
		})
	}
	if errs := failed(group.wait()); errs != nil {
		t.Error(errs)
	}
	if most.Load() > 3*4 { // of each procedure
		t.Errorf("%d calls at one time", most.Load())
	}
}

// A queue with room refuses nobody, however many are being refused beside.
func TestBulkheadRefusesOnlyForWantOfRoom(t *testing.T) {
	t.Parallel()
	b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: 1})
	around := b.Interceptor()
	var served, refused atomic.Int64
	var group calls
	for range 8 {
		group.start(func() error {
			for range 500 {
				switch err := connectumtest.Call(t, around, connectumtest.Exchange{}).Err; {
				case err == nil:
					served.Add(1)
				case connect.CodeOf(err) == connect.CodeResourceExhausted:
					refused.Add(1)
				default:
					return err
				}
			}
			return nil
		})
	}
	if errs := failed(group.wait()); errs != nil {
		t.Error(errs)
	}
	if served.Load()+refused.Load() != 4000 {
		t.Errorf("%d served and %d refused of 4000", served.Load(), refused.Load())
	}
	if err := connectumtest.Call(t, around, connectumtest.Exchange{}).Err; err != nil {
		t.Errorf("places were lost: %v", err)
	}
}

func TestBulkheadReportsItsSettings(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]resilience.BulkheadConfig{
		"BulkheadConfig.Capacity is 0":  {},
		"BulkheadConfig.Capacity is -1": {Capacity: -1},
		"BulkheadConfig.Queue is -1":    {Capacity: 1, Queue: -1},
		"BulkheadConfig.MaxWait is -1s": {Capacity: 1, MaxWait: -time.Second},
	} {
		wantStartError(t, resilience.NewBulkhead(cfg).Interceptor(), name)
	}
	b := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Queue: int(^uint(0) >> 1)})
	if err := server(nil, b.Interceptor()).Check(); err != nil {
		t.Error(err)
	}
	if err := call(t.Context(), connectumtest.Client(t, server(nil, b.Interceptor())), connect.StreamTypeUnary); err != nil {
		t.Errorf("a queue without end: %v", err)
	}
	if got := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 2, Queue: 3}).String(); got != "capacity 2, queue 3" {
		t.Error(got)
	}
}

// wantStartError wants a server with i not to start, for one reason that
// contains text, told once.
func wantStartError(t *testing.T, i connectum.Interceptor, text string) {
	t.Helper()
	err := server(nil, i).Check()
	if err == nil || strings.Count(err.Error(), text) != 1 {
		t.Errorf("start error is %v, want one with %q", err, text)
	}
}

// gated makes a server behind a bulkhead, with handlers that wait for the gate.
func gated(cfg resilience.BulkheadConfig) func() (*connectum.Server, *gate) {
	return func() (*connectum.Server, *gate) {
		g, b := newGate(), resilience.NewBulkhead(cfg)
		srv := server(g.step, b.Interceptor())
		srv.AddMetrics(b.Metrics)
		return srv, g
	}
}

// bulkheadMetrics are running, waiting and refused of a procedure.
func bulkheadMetrics(srv *connectum.Server, procedure string) [3]float64 {
	m, of := metrics(srv), ",procedure="+procedure
	return [3]float64{m["connectum_bulkhead_running"+of], m["connectum_bulkhead_waiting"+of], m["connectum_bulkhead_refused_total"+of]}
}
