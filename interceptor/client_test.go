package interceptor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/validate"
)

// relay returns a server whose calls are passed on to another, by a client with
// these links, in a context that change makes.
func relay(t *testing.T, to connect.Transport, change func(context.Context) context.Context, links ...connect.ClientInterceptor) *connectum.Server {
	client := connect.NewClient(to, links...)
	return serve(connectumtest.RecordLogs(t), func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if err := readFirst(ctx, spec, stream); err != nil {
			return err
		}
		if _, err := call(change(ctx), client, spec.StreamType, "a"); err != nil {
			return err
		}
		return stream.Send(response(spec.StreamType, "relayed"))
	})
}

// remoteAndInProcess runs f with both kinds of transport to srv.
func remoteAndInProcess(t *testing.T, srv *connectum.Server, f func(t *testing.T, to connect.Transport)) {
	run := connectumtest.Start(t, srv)
	for _, door := range run.Doors() {
		if door.Name != "in-process" && door.Name != "grpc h2c" && door.Name != "connect proto h2c" {
			continue
		}
		t.Run(door.Name, func(t *testing.T) {
			to, err := door.Open(t.Context(), srv)
			if err != nil {
				t.Fatal(err)
			}
			f(t, to)
		})
	}
}

// Behaviour 57.
func TestHeadersPassByTheList(t *testing.T) {
	t.Parallel()
	seen := make(chan map[string][]string, 1)
	inner := serve(connectumtest.RecordLogs(t), func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		info, _ := connect.CallInfoForServerContext(ctx)
		got := map[string][]string{}
		for _, name := range []string{"Traceparent", "X-Tenant", "Authorization", "Blob-Bin", "Own"} {
			got[name] = info.RequestHeader().Values(name)
		}
		seen <- got
		return answer("x")(ctx, spec, stream)
	})
	own := func(ctx context.Context) context.Context {
		ctx, info := connect.NewClientContext(ctx)
		info.RequestHeader().Set("Own", "the caller's")
		return ctx
	}
	remoteAndInProcess(t, inner, func(t *testing.T, to connect.Transport) {
		outer := connectumtest.Start(t, relay(t, to, own, interceptor.ClientDefaults(interceptor.ClientConfig{
			Propagate: []string{"traceparent", "x-tenant", "blob-bin", "own"},
			Retry:     resilience.NewRetry(resilience.RetryConfig{Unsafe: func(connect.Spec) bool { return true }}), // whose attempts have headers of their own
		})...))
		connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
			ctx, info := connect.NewClientContext(t.Context())
			h := info.RequestHeader()
			h.Set("Traceparent", "00-1-2-01")
			h.SetValues("X-Tenant", []string{"a", "b"})
			h.Set("Authorization", secret)
			h.Set("Blob-Bin", connect.EncodeBinaryHeader([]byte{0, 255}))
			h.Set("Own", "the client's")
			if _, err := call(ctx, outer.GRPC(), kind, "a"); err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if vs := got["X-Tenant"]; strings.Join(vs, ",") != "a,b" && strings.Join(vs, ", ") != "a, b" {
				t.Errorf("X-Tenant: %q", vs)
			}
			delete(got, "X-Tenant")
			connectumtest.Want(t, got, map[string][]string{"Traceparent": {"00-1-2-01"}, "Authorization": nil, "Blob-Bin": {"AP8"}, "Own": {"the caller's"}})
		})
	})
}

// The deadline of an inbound call bounds what it calls, remote and in-process.
//
// Behaviour 55.
func TestDeadlinesPass(t *testing.T) {
	t.Parallel()
	seen := make(chan time.Time, 1)
	inner := serve(connectumtest.RecordLogs(t), func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		deadline, ok := ctx.Deadline()
		if !ok {
			return errors.New("no deadline")
		}
		seen <- deadline
		return answer("x")(ctx, spec, stream)
	})
	same := func(ctx context.Context) context.Context { return ctx }
	remoteAndInProcess(t, inner, func(t *testing.T, to connect.Transport) {
		outer := connectumtest.Start(t, relay(t, to, same, interceptor.ClientDefaults(interceptor.ClientConfig{Propagate: []string{"traceparent"}})...))
		connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
			want := time.Now().Add(20 * time.Second) // below the server's own 30 s
			ctx, cancel := context.WithDeadline(t.Context(), want)
			defer cancel()
			if _, err := call(ctx, outer.GRPC(), kind, "a"); err != nil {
				t.Fatal(err)
			}
			// What is left was told in milliseconds, and has shrunk on no way.
			if got := <-seen; got.After(want.Add(5*time.Second)) || got.Before(want.Add(-5*time.Second)) {
				t.Errorf("the deadline is %v off", got.Sub(want))
			}
		})
	})
}

// Behaviour 54: when the client of a call leaves, what the call calls ends too.
func TestALeavingClientEndsWhatWasCalledForIt(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	inner := serve(connectumtest.RecordLogs(t), func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	same := func(ctx context.Context) context.Context { return ctx }
	remoteAndInProcess(t, inner, func(t *testing.T, to connect.Transport) {
		outer := connectumtest.Start(t, relay(t, to, same, interceptor.ClientDefaults(interceptor.ClientConfig{
			Retry: resilience.NewRetry(resilience.RetryConfig{Unsafe: func(connect.Spec) bool { return true }}),
		})...))
		connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() {
				_, err := call(ctx, outer.GRPC(), kind, "a")
				over <- err
			}()
			<-begun
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("what was called ended with %v", err)
			}
			connectumtest.WantError(t, <-over, connect.CodeCanceled)
		})
	})
}

func TestPropagateRefusesWhatProtocolsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "te", "Content-Type", "grpc-timeout", "connect-protocol-version", "host", "connection", "x-*", "a b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is passed on", name)
				}
			}()
			interceptor.Propagate(name)
		}()
	}
	defer func() {
		if recover() == nil {
			t.Error("no headers are a list")
		}
	}()
	interceptor.Propagate()
}

// A downstream's error is never passed on as the server's own, whatever link
// made it, and both transports alike.
//
// Behaviour 58: the code of a downstream is for the log and the table of errors.
func TestADownstreamsErrorStaysInside(t *testing.T) {
	t.Parallel()
	same := func(ctx context.Context) context.Context { return ctx }
	open := resilience.NewBreaker(resilience.BreakerConfig{Failures: 1})
	for name, c := range map[string]interceptor.ClientConfig{
		"none":     {},
		"validate": {Validation: &validate.Config{}},
		"breaker":  {Target: "inner", Breaker: open},
		"retry":    {Retry: resilience.NewRetry(resilience.RetryConfig{Unsafe: func(connect.Spec) bool { return true }, Delay: time.Nanosecond, MaxDelay: time.Nanosecond})},
	} {
		t.Run(name, func(t *testing.T) {
			inner := serve(connectumtest.RecordLogs(t), connectumtest.Step(fail(connect.NewError(connect.CodeUnavailable, secret))))
			remoteAndInProcess(t, inner, func(t *testing.T, to connect.Transport) {
				outer := relay(t, to, same, interceptor.ClientDefaults(c)...)
				connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
					_, err := call(t.Context(), connectumtest.Client(t, outer), kind, "a")
					connectumtest.WantError(t, err, connect.CodeInternal, connectumtest.Matching(anID))
				})
			})
		})
	}
}

// Behaviours 89 and 99: retry, breaker, attempt timeout and fallback together,
// in their order: the breaker counts one call where there were three attempts,
// and the fallback answers for the breaker too.
func TestTheOrderOfAClientsChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		method := method("Put")
		breaker := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2})
		telemetry := 0
		cfg := interceptor.ClientConfig{
			Target: "inner",
			Telemetry: func(next connect.ClientFunc) connect.ClientFunc {
				return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
					telemetry++
					return next(ctx, spec)
				}
			},
			Fallback: []resilience.FallbackRule{resilience.FallbackFor(servicePath+"Put", func(_ context.Context, req *rulesv1.PutRequest, _ error) (*rulesv1.PutResponse, error) {
				return &rulesv1.PutResponse{Text: "instead of " + req.GetName()}, nil
			}, connect.CodeDeadlineExceeded, connect.CodeUnavailable)},
			Breaker:        breaker,
			Retry:          resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 3, Unsafe: func(connect.Spec) bool { return true }}),
			AttemptTimeout: time.Second,
		}
		srv := serve(connectumtest.RecordLogs(t), func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
			attempts++
			<-ctx.Done()
			return ctx.Err()
		})
		client := connect.NewClient(srv.Transport(), interceptor.ClientDefaults(cfg)...)
		for n, want := range []struct {
			attempts int
			state    string
		}{{3, "closed"}, {6, "open"}, {6, "open"}} {
			res := new(rulesv1.PutResponse)
			if err := client.CallUnary(t.Context(), specOf(method), &rulesv1.PutRequest{Name: "a"}, res); err != nil || res.GetText() != "instead of a" {
				t.Errorf("call %d: %v, %v", n, res, err)
			}
			if state := breaker.States()[0].State; attempts != want.attempts || state != want.state || telemetry != n+1 {
				t.Errorf("call %d: %d attempts, the breaker is %s, telemetry saw %d", n, attempts, state, telemetry)
			}
		}
	})
}

func TestAClientExplainsItsChain(t *testing.T) {
	t.Parallel()
	cfg := interceptor.ClientConfig{
		Target: "inner", Propagate: []string{"traceparent"}, Breaker: resilience.NewBreaker(resilience.BreakerConfig{}),
		Retry: resilience.NewRetry(resilience.RetryConfig{}), Hedge: resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}), AttemptTimeout: time.Second,
	}
	connectumtest.Want(t, strings.Split(cfg.Explain(connect.Spec{Procedure: "/a.B/C", IdempotencyLevel: connect.IdempotencyIdempotent}), "\n"), []string{
		"/a.B/C, unary",
		"─► propagate         traceparent",
		"─► breaker           opens after 5 faults in a row for 10s, 1 probes",
		"─► retry             3 attempts after [unavailable], budget 0.1",
		"─► attempt-timeout   1s",
		"─► transport",
		"   telemetry         off",
		"   validate          off",
		"   fallback          off",
		"   hedging           left out: the schema does not say NO_SIDE_EFFECTS",
		"",
	})
	if got := cfg.Explain(connect.Spec{Procedure: "/a.B/C", StreamType: connect.StreamTypeBidi}); !strings.Contains(got, "retry             left out: for unary calls alone") {
		t.Error(got)
	}
	if n := len(interceptor.ClientDefaults(interceptor.ClientConfig{})); n != 0 {
		t.Errorf("the zero configuration has %d links", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a breaker without a target is allowed")
		}
	}()
	interceptor.ClientDefaults(interceptor.ClientConfig{Breaker: cfg.Breaker})
}

// A link that has nothing to do for a call is told as left out, and one that has as
// in the chain, whoever decides that.
func TestAClientExplainsWhatALinkDoesForAProcedure(t *testing.T) {
	t.Parallel()
	put, plain := specOf(method("Put")), specOf(method("Plain"))
	safe := put
	safe.IdempotencyLevel = connect.IdempotencyNoSideEffects
	stale := func(_ context.Context, _ *rulesv1.PutRequest, err error) (*rulesv1.PutResponse, error) {
		return nil, err
	}
	full := interceptor.ClientConfig{
		Validation: &validate.Config{},
		Fallback:   []resilience.FallbackRule{resilience.FallbackFor(put.Procedure, stale, connect.CodeUnavailable)},
		Retry: resilience.NewRetry(resilience.RetryConfig{Unsafe: func(spec connect.Spec) bool {
			return spec.Procedure == put.Procedure
		}}),
		Hedge: resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}),
	}
	once := interceptor.ClientConfig{
		Retry: resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 1}),
		Hedge: resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second, MaxAttempts: 1}),
	}
	for _, c := range []struct {
		cfg  interceptor.ClientConfig
		spec connect.Spec
		want string
	}{
		{full, put, "─► validate          requests"},
		{full, put, "─► fallback          1 rules"},
		{full, put, "─► retry             3 attempts after [unavailable], budget 0.1"},
		{full, put, "   hedging           left out: the schema does not say NO_SIDE_EFFECTS"},
		{full, plain, "   validate          left out: the messages have no rules"},
		{full, plain, "   fallback          left out: no rule is for this procedure"},
		{full, plain, "   retry             left out: neither the schema nor Unsafe says that calls may be repeated"},
		{full, safe, "─► hedging           2 attempts, one more after 1s, budget 0.1"},
		{once, safe, "   retry             left out: there is one attempt"},
		{once, safe, "   hedging           left out: there is one attempt"},
	} {
		if got := c.cfg.Explain(c.spec); !strings.Contains(got, "\n"+c.want+"\n") {
			t.Errorf("want %q in\n%s", c.want, got)
		}
	}
}

// Every link alone leaves a call that succeeds as it is, for every kind.
func TestLinksOfClientsPassWhatSucceeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]interceptor.ClientConfig{
		"propagate": {Propagate: []string{"traceparent"}}, "validate": {Validation: &validate.Config{Responses: true}},
		"breaker": {Target: "x", Breaker: resilience.NewBreaker(resilience.BreakerConfig{})},
		"retry":   {Retry: resilience.NewRetry(resilience.RetryConfig{})}, "attempt timeout": {AttemptTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
				got := connectumtest.CallClient(t, interceptor.ClientDefaults(c)[0], connectumtest.Exchange{Kind: kind})
				if got.Err != nil || len(got.Answers) == 0 || got.Answers[0].(*wrapperspb.StringValue).GetValue() != "answer 1" {
					t.Errorf("%v, %v", got.Answers, got.Err)
				}
			})
		})
	}
}
