package resilience_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/resilience"
)

var quietly = slog.New(slog.DiscardHandler)

// mood is what a server's handlers do, to be changed while it runs.
type mood struct {
	err   atomic.Pointer[connect.Error]
	calls atomic.Int64
}

func (m *mood) step(context.Context) error {
	m.calls.Add(1)
	if err := m.err.Load(); err != nil {
		return err
	}
	return nil
}

func (m *mood) set(code connect.Code) {
	if code == 0 {
		m.err.Store(nil)
		return
	}
	m.err.Store(connect.NewError(code, "as told"))
}

func moody() (*connectum.Server, *mood) {
	m := new(mood)
	return server(m.step), m
}

// Behaviour 87: opens after the threshold of faults in a row; rejects with unavailable;
// half-open after the delay; a success closes it, a fault opens it again.
func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, moody, func(t *testing.T, d doorway, m *mood) {
				if !d.has(kind) {
					return
				}
				var changes []string
				logs := connectumtest.RecordLogs(t)
				b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 3, Delay: 10 * time.Second, Logger: logs.Logger(),
					OnChange: func(s resilience.BreakerState) { changes = append(changes, s.State) }})
				client := d.client(b.Interceptor("shop"))
				try := func() error { return call(t.Context(), client, kind) }

				m.set(connect.CodeUnavailable)
				for range 2 {
					connectumtest.WantError(t, try(), connect.CodeUnavailable, connectumtest.Containing("as told"))
				}
				m.set(0) // a success begins the count anew
				if err := try(); err != nil {
					t.Fatal(err)
				}
				m.set(connect.CodeUnavailable)
				for range 3 {
					connectumtest.WantError(t, try(), connect.CodeUnavailable, connectumtest.Containing("as told"))
				}
				err := try()
				connectumtest.WantError(t, err, connect.CodeUnavailable, connectumtest.Containing("circuit breaker for "+procedures[kind][1:]+" is open"))
				info, _ := connectumtest.Detail[*errdetails.RetryInfo](err)
				if wait := info.GetRetryDelay().AsDuration(); wait < 9*time.Second || wait > 11*time.Second {
					t.Errorf("told to wait %v", wait)
				}
				if m.calls.Load() != 6 {
					t.Errorf("%d calls reached the server, want 6", m.calls.Load())
				}
				time.Sleep(11 * time.Second)                                                                    // a tenth more than Delay at most
				connectumtest.WantError(t, try(), connect.CodeUnavailable, connectumtest.Containing("as told")) // a probe
				connectumtest.WantError(t, try(), connect.CodeUnavailable, connectumtest.Containing("circuit breaker"))
				time.Sleep(11 * time.Second)
				m.set(0)
				for range 5 {
					if err := try(); err != nil {
						t.Error(err)
					}
				}
				connectumtest.Want(t, changes, []string{"open", "half-open", "open", "half-open", "closed"})
				connectumtest.Want(t, b.States(), []resilience.BreakerState{{Target: "shop", Procedure: procedures[kind], State: "closed"}})
				if lines := logs.Find("circuit breaker"); len(lines) != 5 || lines[0].Level != slog.LevelWarn || lines[4].Level != slog.LevelInfo ||
					lines[0].Attrs["target"] != "shop" || lines[0].Attrs["procedure"] != procedures[kind] || lines[0].Attrs["before"] != "closed" {
					t.Error(logs)
				}
			})
		})
	}
}

// Behaviour 88: business codes never count, and close it in half-open; codes of the
// infrastructure, and errors without one, count.
func TestBreakerTellsFaultsFromAnswers(t *testing.T) {
	t.Parallel()
	faults := map[connect.Code]bool{connect.CodeUnavailable: true, connect.CodeDeadlineExceeded: true, connect.CodeInternal: true,
		connect.CodeUnknown: true, connect.CodeDataLoss: true}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		for _, kind := range kinds {
			b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 3, Logger: quietly})
			around := b.Interceptor("shop")
			for range 10 {
				_ = connectumtest.CallClient(t, around, connectumtest.Exchange{Kind: kind,
					Handler: connectumtest.Fail(connect.NewError(code, "as told"))})
			}
			if open := b.States()[0].State == "open"; open != faults[code] {
				t.Errorf("%v, %v: open is %v", kind, code, open)
			}
		}
	}
	b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 3, Logger: quietly})
	around := b.Interceptor("shop")
	refuse := around(func(context.Context, connect.Spec) (connect.ClientStream, error) { return nil, errors.New("plain") })
	for range 3 {
		_, _ = refuse(t.Context(), connect.Spec{Procedure: "/a.B/C"})
	}
	if b.States()[0].State != "open" {
		t.Error("errors without a code do not count")
	}
}

func TestBreakerClosesOnABusinessCode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, m := moody()
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: time.Second, Logger: quietly})
		client := connect.NewClient(srv.Transport(), b.Interceptor("shop"))
		m.set(connect.CodeInternal)
		_ = call(t.Context(), client, connect.StreamTypeUnary)
		time.Sleep(2 * time.Second)
		m.set(connect.CodeNotFound)
		connectumtest.WantError(t, call(t.Context(), client, connect.StreamTypeUnary), connect.CodeNotFound)
		if s := b.States()[0].State; s != "closed" {
			t.Error(s)
		}
	})
}

// Behaviour 88: the predicate extends, restricts and replaces; one that panics counts as a
// fault.
func TestBreakerAsksThePredicate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		isFault func(error, bool) bool
		code    connect.Code
		open    bool
	}{
		"extends":              {func(err error, usual bool) bool { return usual || connect.CodeOf(err) == connect.CodeAborted }, connect.CodeAborted, true},
		"extends, the usual":   {func(err error, usual bool) bool { return usual || connect.CodeOf(err) == connect.CodeAborted }, connect.CodeInternal, true},
		"restricts":            {func(err error, usual bool) bool { return usual && connect.CodeOf(err) != connect.CodeInternal }, connect.CodeInternal, false},
		"restricts, the usual": {func(err error, usual bool) bool { return usual && connect.CodeOf(err) != connect.CodeInternal }, connect.CodeUnavailable, true},
		"replaces":             {func(err error, _ bool) bool { return connect.CodeOf(err) == connect.CodeNotFound }, connect.CodeUnavailable, false},
		"panics":               {func(error, bool) bool { panic("a bug") }, connect.CodeNotFound, true},
		"panics on nil":        {func(err error, _ bool) bool { return err == nil }, connect.CodeNotFound, false},
	} {
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, IsFault: c.isFault, Logger: quietly})
		around := b.Interceptor("shop")
		for range 2 {
			_ = connectumtest.CallClient(t, around, connectumtest.Exchange{Handler: connectumtest.Fail(connect.NewError(c.code, "as told"))})
		}
		if open := b.States()[0].State == "open"; open != c.open {
			t.Errorf("%s: open is %v", name, open)
		}
	}
}

// Behaviour 90: each procedure of each target has its own.
func TestBreakerKeepsProceduresAndTargetsApart(t *testing.T) {
	t.Parallel()
	srv, m := moody()
	b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Logger: quietly})
	shop := connect.NewClient(srv.Transport(), b.Interceptor("shop"))
	same := connect.NewClient(srv.Transport(), b.Interceptor("shop"))
	bank := connect.NewClient(srv.Transport(), b.Interceptor("bank"))
	m.set(connect.CodeUnavailable)
	_ = call(t.Context(), shop, connect.StreamTypeUnary)
	m.set(0)
	connectumtest.WantError(t, call(t.Context(), same, connect.StreamTypeUnary), connect.CodeUnavailable)
	for _, err := range []error{call(t.Context(), shop, connect.StreamTypeBidi), call(t.Context(), bank, connect.StreamTypeUnary)} {
		if err != nil {
			t.Error(err)
		}
	}
	connectumtest.Want(t, b.States(), []resilience.BreakerState{
		{Target: "bank", Procedure: service + "Echo", State: "closed"},
		{Target: "shop", Procedure: service + "Chat", State: "closed"},
		{Target: "shop", Procedure: service + "Echo", State: "open"},
	})
}

// A caller that gives up says nothing of the target; one that was given up by
// its deadline does.
func TestBreakerForgivesCallersThatLeave(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func() (*connectum.Server, *gate) { g := newGate(); return server(g.step), g }, func(t *testing.T, d doorway, _ *gate) {
				if !d.has(kind) {
					return
				}
				b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, Logger: quietly})
				client := d.client(b.Interceptor("shop"))
				for range 5 {
					ctx, leave := context.WithCancel(t.Context())
					time.AfterFunc(time.Second, leave)
					if err := call(ctx, client, kind); err == nil {
						t.Error("no error")
					}
				}
				if s := b.States()[0].State; s != "closed" {
					t.Errorf("after five that left it is %s", s)
				}
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if err := call(ctx, client, kind); err == nil {
						t.Error("no error")
					}
					cancel()
				}
				if s := b.States()[0].State; s != "open" {
					t.Errorf("after two that took too long it is %s", s)
				}
			})
		})
	}
}

// OnChange may look at the breaker, and call through it; changes come one after
// the other and in order, however many call.
func TestBreakerTellsChangesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var client *connect.Client
		var b *resilience.Breaker
		var mu sync.Mutex
		var changes []string
		b = resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, Delay: time.Millisecond, Logger: quietly, OnChange: func(s resilience.BreakerState) {
			if !mu.TryLock() {
				t.Error("two changes at one time")
				return
			}
			changes = append(changes, s.State)
			mu.Unlock()
			_ = b.States()
			_ = call(t.Context(), client, connect.StreamTypeUnary)
		}})
		var n atomic.Int64
		client = connect.NewClient(server(func(context.Context) error {
			if n.Add(1)%7 < 4 {
				return connect.NewError(connect.CodeUnavailable, "now and then")
			}
			return nil
		}).Transport(), b.Interceptor("shop"))
		var group calls
		for range 8 {
			group.start(func() error {
				for range 200 {
					_ = call(t.Context(), client, connect.StreamTypeUnary)
					time.Sleep(300 * time.Microsecond)
				}
				return nil
			})
		}
		_ = group.wait()
		synctest.Wait()
		before := "closed"
		follows := map[string][]string{"closed": {"open"}, "open": {"half-open"}, "half-open": {"open", "closed"}}
		for i, s := range changes {
			if !slices.Contains(follows[before], s) {
				t.Fatalf("change %d is from %s to %s", i, before, s)
			}
			before = s
		}
		if len(changes) < 10 {
			t.Errorf("only %d changes", len(changes))
		}
	})
}

func TestBreakerMeasures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, m := moody()
		b := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1, Delay: time.Second, Logger: quietly})
		srv.AddMetrics(b.Metrics)
		client := connect.NewClient(srv.Transport(), b.Interceptor("shop"))
		of := ",target=shop,procedure=" + service + "Echo"
		want := func(state, opened, refused float64) {
			t.Helper()
			got := metrics(srv)
			connectumtest.Want(t, [3]float64{got["connectum_breaker_state"+of], got["connectum_breaker_opened_total"+of], got["connectum_breaker_refused_total"+of]},
				[3]float64{state, opened, refused})
		}
		_ = call(t.Context(), client, connect.StreamTypeUnary)
		want(0, 0, 0)
		m.set(connect.CodeUnavailable)
		for range 3 {
			_ = call(t.Context(), client, connect.StreamTypeUnary)
		}
		want(2, 1, 2)
		time.Sleep(2 * time.Second)
		m.set(0)
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := connect.NewClient(srv.Transport(), b.Interceptor("shop")).
			CallClientStream(ctx, connect.Spec{StreamType: connect.StreamTypeClient, Procedure: service + "Echo"})
		want(1, 1, 2)
		cancel()
		if err == nil {
			_ = stream.Close()
		}
	})
}

func TestBreakerReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]resilience.BreakerConfig{
		"Failures (-1)": {Failures: -1}, "Delay (-1s)": {Delay: -time.Second}, "Probes (-1)": {Probes: -1},
	} {
		wantPanic(t, text, func() { resilience.NewBreaker(cfg) })
	}
	if got := resilience.NewBreaker(resilience.BreakerConfig{}).String(); got != "opens after 5 faults in a row for 10s, 1 probes" {
		t.Error(got)
	}
}

// wantPanic wants f to panic with a text that contains text.
func wantPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got, _ := recover().(string); !strings.Contains(got, text) {
			t.Errorf("panic %q, want one with %q", got, text)
		}
	}()
	f()
}
