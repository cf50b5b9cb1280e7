package connectum_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Streams that heed nothing end as unavailable after their grace, in whatever
// they wait, and the rest of the stop is clean.
func TestStreamsEndAsUnavailableAfterTheirGrace(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 100)
	cfg := quiet()
	cfg.Shutdown.StreamGrace = 50 * time.Millisecond
	in := serving(t, cfg, testservice.Service{
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			began <- struct{}{}
			<-ctx.Done() // waits for its context
			return ctx.Err()
		},
		OnSum: func(_ context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			began <- struct{}{}
			for {
				if _, err := s.Receive(); err != nil { // waits for its client
					return nil, err
				}
			}
		},
	})
	results := make(chan error, 100)
	n := 0
	for name, c := range in.dialects() {
		client := testv1connect.NewTestServiceClient(c)
		go func() {
			stream, err := client.Count(context.Background(), &testv1.CountRequest{})
			if err == nil {
				_, err = stream.Receive()
			}
			results <- annotate(name+" count", err)
		}()
		<-began
		n++
		if !speaksBidi(name) {
			continue // over HTTP/1.1 a client that goes on sending may see its write fail first
		}
		sum, err := client.Sum(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := sum.Send(&testv1.SumRequest{Number: 1}); err != nil {
			t.Fatal(err)
		}
		<-began
		n++
		go func() {
			// What a client that goes on sending sees is the end of its stream.
			var err error
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if err = sum.Send(&testv1.SumRequest{}); err != nil {
					break
				}
			}
			_, err = sum.CloseAndReceive()
			results <- annotate(name+" sum", err)
		}()
	}
	if err := in.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for range n {
		err := <-results
		if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
			t.Error(err)
		}
	}
}

func annotate(what string, err error) error {
	if err == nil {
		return errors.New(what + ": no error")
	}
	return errors.Join(errors.New(what), err)
}

// Behaviours 29, 32, 66: at the deadline calls are cut, by name, then the hooks
// run, within the budget.
func TestCallsThatDoNotEndAreCutAndNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, stuck := make(chan struct{}), make(chan struct{})
		var j journal
		v := &victim{Server: connectum.New(quiet()), t: t, memory: newMemory()}
		testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			began <- struct{}{}
			if req.GetText() == "heeds" {
				<-ctx.Done()
				if !strings.Contains(context.Cause(ctx).Error(), "shutting down") {
					t.Errorf("cause %v", context.Cause(ctx))
				}
				return nil, ctx.Err()
			}
			<-stuck
			return &testv1.EchoResponse{}, nil
		}}.Register(v.RPC())
		v.OnShutdown("db", func() { j.add("db") })
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(ctx, v.memory) }()
		synctest.Wait()
		dialects := v.dialects()
		results := make(chan error, len(dialects))
		for _, c := range dialects {
			go func() {
				_, err := testv1connect.NewTestServiceClient(c).Echo(context.Background(), &testv1.EchoRequest{Text: "heeds"})
				results <- err
			}()
			<-began
		}
		// The deaf one holds its connection beyond the end.
		deaf := make(chan error, 1)
		go func() {
			_, err := testv1connect.NewTestServiceClient(v.dialects()["connect proto h1"]).Echo(context.Background(), &testv1.EchoRequest{})
			deaf <- err
		}()
		<-began
		stopped := time.Now()
		cancel()
		err := <-ended
		if took := time.Since(stopped); took > 25*time.Second {
			t.Errorf("the stop took %v, its budget is 25s", took)
		}
		if !errors.Is(err, connectum.ErrForced) || !strings.Contains(err.Error(), "/connectum.test.v1.TestService/Echo (8)") {
			t.Errorf("Run: %v", err)
		}
		for range dialects {
			if err := <-results; connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
				t.Errorf("a call that was cut: %v", err)
			}
		}
		if err := <-deaf; err == nil {
			t.Error("the deaf call succeeded")
		}
		if j.String() != "db" {
			t.Errorf("hooks %q", j.String())
		}
		close(stuck)
	})
}

// An ended context makes Shutdown immediate, also with NoForce.
//
// Behaviour 31.
func TestShutdownWithAnEndedContextCutsAtOnce(t *testing.T) {
	t.Parallel()
	for _, noForce := range []bool{false, true} {
		began := make(chan struct{})
		cfg := quiet()
		cfg.Shutdown.NoForce = noForce
		cfg.Shutdown.DrainDelay = 10 * time.Second
		in := serving(t, cfg, testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		result := make(chan error, 1)
		go func() {
			_, err := testv1connect.NewTestServiceClient(in.connect(in.h2(), connecthttp.WithGRPC())).Echo(context.Background(), &testv1.EchoRequest{})
			result <- err
		}()
		<-began
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := in.Shutdown(ctx); !errors.Is(err, connectum.ErrForced) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-result; connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("the call: %v", err)
		}
	}
}

// late is called by the fake clock once a server that stops has asked clients to
// leave, with nothing in flight and a keep-alive connection of HTTP/1.1 at hand,
// and returns the error of the run. A client on such a connection cannot know yet.
func late(t *testing.T, cfg connectum.Config, svc testservice.Service, call func(testv1connect.TestServiceClient)) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Shutdown.DrainDelay = 2 * time.Second
		v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
		svc.Register(v.RPC())
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		idle := v.http(false)
		if got := body(t, post(t, idle, "http://localhost/connectum.test.v1.TestService/Get", "application/json", "{}")); got != "{}" {
			t.Error(got)
		}
		go func() { _ = v.Shutdown(context.Background()) }()
		time.Sleep(cfg.Shutdown.DrainDelay + time.Second) // half of the time that idle connections have
		if got := post(t, v.http(false), "http://localhost/none", "text/plain", ""); !got.Close {
			t.Error("clients are not asked to leave yet")
		}
		call(testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(idle, "http://localhost"))))
		err = <-ended
		time.Sleep(2 * time.Second)
	})
	return err
}

// A stream that begins after all others have ended ends as they did.
func TestStreamsThatBeginLateEndAsUnavailable(t *testing.T) {
	t.Parallel()
	deaf := testservice.Service{OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
		if err := s.Send(&testv1.CountResponse{}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	err := late(t, quiet(), deaf, func(c testv1connect.TestServiceClient) {
		began := time.Now()
		s, err := c.Count(context.Background(), &testv1.CountRequest{})
		if err == nil {
			_, err = s.Receive()
		}
		if err != nil {
			t.Errorf("the stream was not taken: %v", err)
			return
		}
		if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the stream ended with %v", err)
		}
		if took := time.Since(began).Truncate(time.Second); took != 5*time.Second { // its grace, by default
			t.Errorf("the stream ended after %v", took)
		}
	})
	if err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A call that begins late and does not end is cut and named as any other.
func TestCallsThatBeginLateAreCutByName(t *testing.T) {
	t.Parallel()
	slow := testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	err := late(t, quiet(), slow, func(c testv1connect.TestServiceClient) {
		_, err := c.Echo(context.Background(), &testv1.EchoRequest{})
		if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the call ended with %v", err)
		}
	})
	if !errors.Is(err, connectum.ErrForced) || !strings.Contains(err.Error(), "TestService/Echo") {
		t.Errorf("Run: %v", err)
	}
}

// Faults 1d: of calls and callbacks that hang for ever the log tells where they
// are, those at the same place together. It is not parallel: the stacks are those
// of the process.
func TestWhatHangsIsFoundInTheLog(t *testing.T) { //nolint:paralleltest // the stacks are those of the process
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	cfg.Shutdown.Timeout = time.Second
	release, begun := make(chan struct{}), make(chan struct{}, 3)
	srv := connectum.New(cfg)
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		begun <- struct{}{}
		waitForRelease(release)
		return nil, nil
	}}.Register(srv.RPC())
	srv.Handle("/hangs", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		waitForRelease(release)
	}))
	srv.OnStopping(func() { waitForRelease(release) })
	in := run(t, srv)
	var calls sync.WaitGroup
	for _, path := range []string{echoPath, echoPath, "/hangs"} {
		calls.Go(func() {
			if res, err := in.h1().Post(in.url(path), "application/json", strings.NewReader("{}")); err == nil {
				t.Errorf("answered: %s", body(t, res))
			}
		})
	}
	for range 3 {
		<-begun
	}
	if err := in.Shutdown(t.Context()); !errors.Is(err, connectum.ErrForced) {
		t.Errorf("Shutdown: %v", err)
	}
	calls.Wait()
	told := log.String()
	for _, want := range []string{
		`calls did not end when they were told to" calls=3`,
		`2 × [chan receive] github.com/connectum-go/connectum_test.waitForRelease hook_test.go:`,
		`1 × [chan receive] github.com/connectum-go/connectum_test.waitForRelease hook_test.go:`,
		`OnReady or OnStopping did not end with the server and was left behind" stacks="1 × [chan receive] github.com/connectum-go/connectum_test.waitForRelease hook_test.go:`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
	close(release)
}

// Behaviours 28 and 30: without force calls are waited for beyond the budget, and
// then the hooks have it for themselves; nothing is left of either.
func TestAStopWithoutForceWaitsForCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var log logbook
		cfg := quiet()
		cfg.Logger = log.logger()
		cfg.Shutdown = connectum.Shutdown{Timeout: 5 * time.Second, NoForce: true}
		srv, memory := connectum.New(cfg), newMemory()
		testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			time.Sleep(29 * time.Second)
			return &testv1.EchoResponse{}, ctx.Err()
		}}.Register(srv.RPC())
		srv.OnShutdown("slow", func(ctx context.Context) error {
			time.Sleep(4 * time.Second)
			j.add("slow")
			return ctx.Err()
		})
		ended, answered := make(chan error, 1), make(chan error, 1)
		go func() { ended <- srv.Serve(context.Background(), memory) }()
		synctest.Wait()
		c := (&victim{Server: srv, t: t, memory: memory}).http(true)
		defer c.CloseIdleConnections()
		go func() {
			client := connect.NewClient(connecthttp.NewTransport(c, "http://localhost", connecthttp.WithGRPC()))
			_, err := testv1connect.NewTestServiceClient(client).Echo(context.Background(), &testv1.EchoRequest{})
			answered <- err
		}()
		time.Sleep(time.Second)
		began := time.Now()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("the stop: %v", err)
		}
		if err := <-answered; err != nil {
			t.Errorf("the call: %v", err)
		}
		if took := time.Since(began); took < 32*time.Second || took > 35*time.Second || j.String() != "slow" {
			t.Errorf("the stop took %v, hooks %q, want 28 s of the call and 4 s of the hook", took, j.String())
		}
		if err := <-ended; err != nil || strings.Contains(log.String(), "phase=force") || strings.Contains(log.String(), "shutdown: force") {
			t.Errorf("Run: %v\n%s", err, &log)
		}
	})
}

// A stream of infrastructure that heeds nothing is not counted, and so not waited
// for: it has half a second for its last word.
func TestInfrastructureThatHeedsNothingHoldsNoStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &victim{Server: connectum.New(quiet()), t: t, memory: newMemory()}
		begun := make(chan struct{})
		testservice.Service{OnCount: func(ctx context.Context, _ *testv1.CountRequest, _ testv1connect.TestServiceCountServerStream) error {
			close(begun)
			<-ctx.Done()
			return ctx.Err()
		}}.Register(v.System())
		ended, told := make(chan error, 1), make(chan error, 1)
		go func() { ended <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		go func() {
			client := connect.NewClient(connecthttp.NewTransport(v.http(true), "http://localhost", connecthttp.WithGRPC()))
			stream, err := testv1connect.NewTestServiceClient(client).Count(context.Background(), &testv1.CountRequest{})
			if err == nil {
				_, err = stream.Receive()
			}
			told <- err
		}()
		<-begun
		began := time.Now()
		if err := v.Shutdown(context.Background()); err != nil {
			t.Errorf("the stop: %v", err)
		}
		if took := time.Since(began); took < 500*time.Millisecond || took > 3*time.Second {
			t.Errorf("the stop took %v, want half a second and what net/http takes", took)
		}
		if err := <-told; connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("the stream ended with %v", err)
		}
		<-ended
	})
}

// The time that calls get to answer when they are cut is of the budget, too, where
// no hook wants a part of it.
func TestAForcedStopKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const budget = 10 * time.Second
		cfg := quiet()
		cfg.Shutdown.Timeout = budget
		v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
		begun, stuck := make(chan struct{}), make(chan struct{})
		testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			close(begun)
			<-stuck
			return &testv1.EchoResponse{}, nil
		}}.Register(v.RPC())
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		go func() {
			if res, err := v.http(false).Post("http://localhost"+echoPath, "application/json", strings.NewReader("{}")); err == nil {
				_ = res.Body.Close()
			}
		}()
		<-begun
		began := time.Now()
		if err := v.Shutdown(context.Background()); !errors.Is(err, connectum.ErrForced) {
			t.Errorf("the stop: %v", err)
		}
		if took := time.Since(began); took > budget || took < budget-2*time.Second {
			t.Errorf("the stop took %v, its budget is %v", took, budget)
		}
		<-ended
		close(stuck)
	})
}
