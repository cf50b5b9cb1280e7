package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/resilience"
)

// Behaviour 91: success after recovery, the last error after exhaustion, only listed
// codes, by every door.
func TestRetryRepeatsWhatMayPass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   resilience.RetryConfig
		ends  []connect.Code
		calls int
		err   string // "" is success
	}{
		"success at once":   {resilience.RetryConfig{}, nil, 1, ""},
		"recovery":          {resilience.RetryConfig{}, []connect.Code{unavailable, unavailable}, 3, ""},
		"exhaustion":        {resilience.RetryConfig{}, []connect.Code{unavailable, unavailable, unavailable, unavailable}, 3, "unavailable: failure 3"},
		"one attempt":       {resilience.RetryConfig{MaxAttempts: 1}, []connect.Code{unavailable}, 1, "unavailable: failure 1"},
		"another code":      {resilience.RetryConfig{}, []connect.Code{connect.CodeInternal}, 1, "internal: failure 1"},
		"then another code": {resilience.RetryConfig{}, []connect.Code{unavailable, connect.CodeNotFound}, 2, "not_found: failure 2"},
		"listed codes": {resilience.RetryConfig{MaxAttempts: 4, Codes: []connect.Code{connect.CodeAborted, connect.CodeResourceExhausted}},
			[]connect.Code{connect.CodeAborted, connect.CodeResourceExhausted, unavailable}, 3, "unavailable: failure 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, scripted(fails(c.ends...)...), func(t *testing.T, d doorway, s *script) {
				r := resilience.NewRetry(c.cfg)
				err := get(t.Context(), d.client(r.Interceptor()))
				if s.calls() != c.calls {
					t.Errorf("%d calls, want %d", s.calls(), c.calls)
				}
				if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
			})
		})
	}
}

// Behaviours 91, 92: streams, and methods that the schema does not call idempotent, are
// left alone; Unsafe says otherwise for the methods.
func TestRetryRepeatsOnlyWhatIsIdempotent(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		srv, s := scripted(fails(unavailable, unavailable)...)()
		client := connect.NewClient(srv.Transport(), resilience.NewRetry(resilience.RetryConfig{
			Unsafe: func(spec connect.Spec) bool { return spec.StreamType != connect.StreamTypeUnary },
		}).Interceptor())
		connectumtest.WantError(t, call(t.Context(), client, kind), unavailable)
		if s.calls() != 1 {
			t.Errorf("%v: %d calls", kind, s.calls())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		srv, s := scripted(fails(unavailable, unavailable)...)()
		client := connect.NewClient(srv.Transport(), resilience.NewRetry(resilience.RetryConfig{
			Unsafe: func(spec connect.Spec) bool { return spec.Procedure == service+"Echo" },
		}).Interceptor())
		if err := call(t.Context(), client, connect.StreamTypeUnary); err != nil || s.calls() != 3 {
			t.Errorf("%v after %d calls", err, s.calls())
		}
	})
	for level, repeated := range map[connect.IdempotencyLevel]bool{
		connect.IdempotencyUnknown: false, connect.IdempotencyNoSideEffects: true, connect.IdempotencyIdempotent: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			around := resilience.NewRetry(resilience.RetryConfig{}).Interceptor()(func(context.Context, connect.Spec) (connect.ClientStream, error) {
				n++
				return nil, connect.NewError(unavailable, "down")
			})
			stream, err := around(t.Context(), connect.Spec{Procedure: "/a.B/C", IdempotencyLevel: level})
			if err == nil {
				_ = stream.Send(new(testv1.GetRequest))
				err = stream.Receive(new(testv1.GetResponse))
			}
			connectumtest.WantError(t, err, unavailable)
			if (n == 3) != repeated {
				t.Errorf("%v: %d attempts", level, n)
			}
		})
	}
}

// Behaviour 91: waits are drawn from 0 to a bound that doubles.
func TestRetryWaitsWithFullJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 6, Delay: 100 * time.Millisecond, MaxDelay: 500 * time.Millisecond, Budget: -1})
		bounds := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond}
		waits := make([][]time.Duration, len(bounds))
		for range 300 {
			srv, s := scripted(fails(unavailable, unavailable, unavailable, unavailable, unavailable, unavailable)...)()
			_ = get(t.Context(), connect.NewClient(srv.Transport(), r.Interceptor()))
			for i, gap := range s.gaps() {
				waits[i] = append(waits[i], gap)
			}
		}
		for i, bound := range bounds {
			slices.Sort(waits[i])
			least, most, middle := waits[i][0], waits[i][299], waits[i][150]
			if most > bound {
				t.Errorf("wait %d is %v, more than %v", i+1, most, bound)
			}
			// Of 300 uniform draws some are in the first and the last tenth, and
			// the middle is in the middle: each fails once in 10^13 runs.
			if least > bound/10 || most < bound*9/10 || middle < bound/5 || middle > bound*4/5 {
				t.Errorf("waits %d are not spread over 0 to %v: least %v, middle %v, most %v", i+1, bound, least, middle, most)
			}
		}
	})
}

// The arithmetic holds where numbers are large.
func TestRetryWaitsNoLongerThanMaxDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		codes := slices.Repeat([]connect.Code{unavailable}, 100)
		srv, s := scripted(fails(codes...)...)()
		r := resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 100, Delay: 10 * time.Hour, MaxDelay: math.MaxInt64 - 1, Budget: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
		defer cancel()
		_ = get(ctx, connect.NewClient(srv.Transport(), r.Interceptor()))
		for _, gap := range s.gaps() {
			if gap < 0 {
				t.Error(gap)
			}
		}
		srv, s = scripted(fails(codes...)...)()
		r = resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 100, Delay: 10 * time.Second, Budget: -1})
		_ = get(t.Context(), connect.NewClient(srv.Transport(), r.Interceptor()))
		if s.calls() != 100 || slices.Max(s.gaps()) > 10*time.Second {
			t.Errorf("%d calls, waits up to %v", s.calls(), slices.Max(s.gaps()))
		}
	})
}

// A server that asks for time is given it; one that asks for too much, or not to
// be called, is left alone. By every door.
func TestRetryHeedsPushback(t *testing.T) {
	t.Parallel()
	info := func(d time.Duration) *errdetails.RetryInfo {
		return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
	}
	for name, c := range map[string]struct {
		detail  proto.Message
		trailer []string
		least   time.Duration
		most    time.Duration
		stop    bool
	}{
		"nothing":              {nil, nil, 0, 100 * time.Millisecond, false},
		"RetryInfo":            {info(20 * time.Second), nil, 20 * time.Second, 22 * time.Second, false},
		"RetryInfo, too much":  {info(2 * time.Minute), nil, 0, 0, true},
		"RetryInfo, for ever":  {&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: math.MaxInt64}}, nil, 0, 0, true},
		"RetryInfo, never set": {&errdetails.RetryInfo{}, nil, 0, 100 * time.Millisecond, false},
		"RetryInfo, negative":  {info(-time.Hour), nil, 0, 100 * time.Millisecond, false},
		"another detail":       {&errdetails.ErrorInfo{Reason: "A"}, nil, 0, 100 * time.Millisecond, false},
		"trailer":              {nil, []string{"20000"}, 20 * time.Second, 22 * time.Second, false},
		"trailer, zero":        {nil, []string{"0"}, 0, 100 * time.Millisecond, false},
		"trailer, negative":    {nil, []string{"-1"}, 0, 0, true},
		"trailer, no number":   {nil, []string{"soon"}, 0, 0, true},
		"trailer, too much":    {nil, []string{"60001"}, 0, 0, true},
		"trailer, huge":        {nil, []string{"99999999999999999999"}, 0, 0, true},
		"trailer, twice":       {nil, []string{"1", "2"}, 0, 0, true},
		"both, the longer":     {info(3 * time.Second), []string{"20000"}, 20 * time.Second, 22 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, scripted(func(ctx context.Context) error {
				if call, _ := connect.CallInfoForServerContext(ctx); c.trailer != nil {
					call.ResponseTrailer().SetValues("grpc-retry-pushback-ms", c.trailer)
				}
				err := connect.NewError(unavailable, "busy")
				if c.detail != nil {
					detail, failure := connectproto.NewErrorDetail(c.detail)
					if failure != nil {
						t.Error(failure)
					}
					err = err.WithDetail(detail)
				}
				return err
			}), func(t *testing.T, d doorway, s *script) {
				err := get(t.Context(), d.client(resilience.NewRetry(resilience.RetryConfig{}).Interceptor()))
				if c.stop {
					connectumtest.WantError(t, err, unavailable, connectumtest.Containing("busy"))
					if s.calls() != 1 {
						t.Errorf("%d calls", s.calls())
					}
					return
				}
				if err != nil || s.calls() != 2 {
					t.Fatalf("%v after %d calls", err, s.calls())
				}
				if gap := s.gaps()[0]; gap < c.least || gap > c.most {
					t.Errorf("waited %v, want %v to %v", gap, c.least, c.most)
				}
			})
		})
	}
}

// Clients that are told together when to come do not all come at that moment.
func TestRetryAfterPushbackIsSpreadOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, asked = 20, 20 * time.Second
		detail, err := connectproto.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
		if err != nil {
			t.Fatal(err)
		}
		busy := func(context.Context) error { return connect.NewError(unavailable, "busy").WithDetail(detail) }
		srv, s := scripted(slices.Repeat([]func(context.Context) error{busy}, clients)...)()
		client := connect.NewClient(srv.Transport(), resilience.NewRetry(resilience.RetryConfig{BudgetBurst: clients}).Interceptor())
		var group calls
		for range clients {
			group.start(func() error { return get(t.Context(), client) })
		}
		if errs := failed(group.wait()); errs != nil {
			t.Fatal(errs)
		}
		first, last := s.came[clients], s.came[2*clients-1]
		if last.Sub(first) < asked/100 { // of a tenth: less is not to be drawn
			t.Errorf("%d clients came within %v", clients, last.Sub(first))
		}
	})
}

// Behaviour 92: it stops when the caller's context ends, and does not begin to wait for
// what the deadline leaves no time for.
func TestRetryStopsWithItsCaller(t *testing.T) {
	t.Parallel()
	many := slices.Repeat([]connect.Code{unavailable}, 100)
	cfg := resilience.RetryConfig{MaxAttempts: 100, Delay: time.Hour, MaxDelay: time.Hour, Budget: -1}
	eachDoor(t, scripted(fails(many...)...), func(t *testing.T, d doorway, s *script) {
		client := d.client(resilience.NewRetry(cfg).Interceptor())
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Nanosecond, leave)
		err := get(ctx, client)
		connectumtest.WantError(t, err, connect.CodeCanceled)
		if !errors.Is(err, context.Canceled) || s.calls() > 1 {
			t.Errorf("%v after %d calls", err, s.calls())
		}
		before := s.calls()
		ctx, leave = context.WithTimeout(t.Context(), time.Microsecond)
		defer leave()
		began := time.Now()
		err = get(ctx, client) // the wait would be longer
		connectumtest.WantError(t, err, unavailable)
		if s.calls() != before+1 || time.Since(began) != 0 {
			t.Errorf("%d calls in %v", s.calls()-before, time.Since(began))
		}
		ctx, leave = context.WithCancel(t.Context())
		leave()
		connectumtest.WantError(t, get(ctx, client), connect.CodeCanceled)
	})
	// A deadline that passes in the middle of a wait that would have been shorter.
	synctest.Test(t, func(t *testing.T) {
		srv, s := scripted(fails(many...)...)()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("bored")) })
		began := time.Now()
		err := get(ctx, connect.NewClient(srv.Transport(), resilience.NewRetry(cfg).Interceptor()))
		connectumtest.WantError(t, err, connect.CodeCanceled)
		if time.Since(began) != time.Minute || s.calls() > 10 {
			t.Errorf("%d calls in %v", s.calls(), time.Since(began))
		}
		// What went wrong last is kept for the log.
		if !errors.Is(err, context.Canceled) || connect.CodeOf(errors.Unwrap(err)) != unavailable && !mentions(err, unavailable) {
			t.Errorf("causes %v", errors.Unwrap(err))
		}
	})
}

// mentions reports whether an error of that code is among the causes of err.
func mentions(err error, code connect.Code) bool {
	var seen bool
	var walk func(error)
	walk = func(e error) {
		if ce, ok := e.(*connect.Error); ok && ce.Code() == code {
			seen = true
		}
		switch u := e.(type) {
		case interface{ Unwrap() error }:
			if next := u.Unwrap(); next != nil {
				walk(next)
			}
		case interface{ Unwrap() []error }:
			for _, next := range u.Unwrap() {
				walk(next)
			}
		}
	}
	walk(err)
	return seen
}

// Each attempt has the caller's headers and nothing of other attempts; the
// caller sees those of the last, and its message alone.
func TestRetryKeepsAttemptsApart(t *testing.T) {
	t.Parallel()
	eachDoor(t, func() (*connectum.Server, *atomic.Int64) {
		n := new(atomic.Int64)
		srv := connectum.New(connectum.Config{Logger: quietly})
		testservice.Service{OnGet: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
			info, _ := connect.CallInfoForServerContext(ctx)
			attempt := n.Add(1)
			if got := info.RequestHeader().Values("Of-The-Caller"); !slices.Equal(got, []string{"a", "b"}) {
				return nil, connect.Errorf(connect.CodeInternal, "attempt %d has header %q", attempt, got)
			}
			info.ResponseHeader().Set(fmt.Sprintf("Header-%d", attempt), "h")
			info.ResponseTrailer().Set(fmt.Sprintf("Trailer-%d", attempt), "t")
			if attempt < 3 {
				return nil, connect.NewError(unavailable, "down")
			}
			return &testv1.GetResponse{Text: req.GetText()}, nil
		}}.Register(srv.RPC())
		return srv, n
	}, func(t *testing.T, d doorway, _ *atomic.Int64) {
		client := testv1connect.NewTestServiceClient(d.client(resilience.NewRetry(resilience.RetryConfig{}).Interceptor()))
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().SetValues("Of-The-Caller", []string{"a", "b"})
		res, err := client.Get(ctx, &testv1.GetRequest{Text: "kept"})
		if err != nil || res.GetText() != "kept" {
			t.Fatal(res, err)
		}
		for attempt, want := range []bool{1: false, 2: false, 3: true} {
			if attempt == 0 {
				continue
			}
			if got := info.ResponseHeader().Has(fmt.Sprintf("Header-%d", attempt)); got != want {
				t.Errorf("header of attempt %d: %v", attempt, got)
			}
			if got := info.ResponseTrailer().Has(fmt.Sprintf("Trailer-%d", attempt)); got != want {
				t.Errorf("trailer of attempt %d: %v", attempt, got)
			}
		}
		if got := info.RequestHeader().Len(); got != 1 {
			t.Errorf("the caller's headers have grown to %d", got)
		}
		if info.Spec.Procedure != service+"Get" {
			t.Errorf("the caller is told of %q", info.Spec.Procedure)
		}
	})
}

func TestRetryReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]resilience.RetryConfig{
		"MaxAttempts (-1)": {MaxAttempts: -1}, "Delay (-1s)": {Delay: -time.Second}, "MaxDelay (1ms)": {MaxDelay: time.Millisecond},
		"MaxDelay (-1s)": {MaxDelay: -time.Second}, "BudgetBurst (-1)": {BudgetBurst: -1}, "Budget (NaN)": {Budget: math.NaN()},
		"RetryConfig.Codes has code_0": {Codes: []connect.Code{0}}, "RetryConfig.Codes has code_17": {Codes: []connect.Code{unavailable, 17}},
	} {
		wantPanic(t, text, func() { resilience.NewRetry(cfg) })
	}
	if got := resilience.NewRetry(resilience.RetryConfig{}).String(); got != "3 attempts after [unavailable], budget 0.1" {
		t.Error(got)
	}
	codes := []connect.Code{connect.CodeAborted}
	r := resilience.NewRetry(resilience.RetryConfig{Codes: codes, Budget: -1})
	codes[0] = connect.CodeInternal
	if got := r.String(); got != "3 attempts after [aborted], budget none" {
		t.Error(got)
	}
}
