package connectum_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviours 1, 2, 3, 4, 18 and 20.
func TestAServerMovesThroughItsStatesOnce(t *testing.T) {
	t.Parallel()
	var j journal
	srv := connectum.New(quiet())
	if srv.State() != connectum.StateCreated || srv.Addr() != nil || srv.InFlight() != 0 {
		t.Errorf("a new server is %v at %v", srv.State(), srv.Addr())
	}
	note := func(what string) { j.add(what + ":" + srv.State().String()) }
	var ready context.Context
	noted := make(chan struct{})
	srv.OnStart(func(context.Context) error { note("start"); return nil })
	srv.OnReady(func(ctx context.Context, addr net.Addr) {
		ready = ctx
		note("ready")
		if addr.(*net.TCPAddr).Port == 0 || addr.String() != srv.Addr().String() {
			t.Errorf("ready at %v, Addr says %v", addr, srv.Addr())
		}
		if ctx.Err() != nil {
			t.Error("the context of OnReady has ended before the stop")
		}
		close(noted)
	})
	srv.OnStopping(func() { note("stopping") })
	srv.OnShutdown("hook", func() { note("hook") })
	in := run(t, srv)
	<-noted
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running") { // behaviour 5
		t.Errorf("second Run: %v, want one that names the state", err)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	if ready.Err() == nil {
		t.Error("the context of OnReady has not ended with the stop")
	}
	if got, want := j.String(), "start:starting ready:running stopping:stopping hook:stopping"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if srv.State() != connectum.StateStopped {
		t.Errorf("state %v after Run", srv.State())
	}
	if err := srv.Run(t.Context()); !errors.Is(err, connectum.ErrServerClosed) { // behaviour 6
		t.Errorf("Run after the stop: %v", err)
	}
}

// Behaviour 7.
func TestShutdownBeforeRunRunsTheHooksAndForbidsRun(t *testing.T) {
	t.Parallel()
	var j journal
	srv := connectum.New(quiet())
	srv.OnShutdown("db", func() { j.add("db") })
	for range 2 { // behaviour 8
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := srv.Run(t.Context()); !errors.Is(err, connectum.ErrServerClosed) {
		t.Errorf("Run: %v", err)
	}
	if got := j.String(); got != "db" {
		t.Errorf("hooks %q, want one run of db", got)
	}
}

// Behaviours 8 and 9.
func TestAllWhoShutDownGetTheSameResult(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	srv := connectum.New(quiet())
	srv.OnShutdown("db", func() error { return boom })
	in := run(t, srv)
	results := make(chan error, 3)
	for range 3 {
		go func() { results <- srv.Shutdown(context.Background()) }()
	}
	for range 3 {
		if err := <-results; !errors.Is(err, boom) {
			t.Errorf("Shutdown: %v", err)
		}
	}
	if err := in.wait(); !errors.Is(err, boom) || strings.Count(err.Error(), "boom") != 1 {
		t.Errorf("Run: %v", err)
	}
}

// Behaviours 10 and 17.
func TestAPortInUseFailsTheStartAndStillRunsTheHooks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var j journal
	cfg := quiet()
	cfg.Addr = l.Addr().String()
	srv := connectum.New(cfg)
	srv.OnReady(func(context.Context, net.Addr) { j.add("ready") })
	srv.OnStopping(func() { j.add("stopping") })
	srv.OnShutdown("db", func() { j.add("db") })
	err = srv.Run(t.Context())
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "listen" || !strings.Contains(err.Error(), "Config.Addr") {
		t.Errorf("Run: %v", err)
	}
	if j.String() != "db" || srv.State() != connectum.StateStopped {
		t.Errorf("events %q, state %v", j.String(), srv.State())
	}
}

// Behaviour 64.
func TestCallbacksThatPanicNeitherLeakNorWedgeTheServer(t *testing.T) {
	t.Parallel()
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	srv := connectum.New(cfg)
	srv.OnReady(func(context.Context, net.Addr) { panic("at ready") })
	srv.OnStopping(func() { panic("at stopping") })
	in := run(t, srv)
	addr := srv.Addr().String()
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OnReady panicked", "at ready", "OnStopping panicked", "at stopping"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if l, err := net.Listen("tcp", addr); err != nil {
		t.Errorf("the port is still taken: %v", err)
	} else {
		_ = l.Close()
	}
}

func TestOnStartThatFailsOrPanicsAbortsTheStart(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, f := range map[string]func(context.Context) error{
		"boom":     func(context.Context) error { return boom },
		"panicked": func(context.Context) error { panic("x") },
	} {
		srv := connectum.New(quiet())
		srv.OnStart(f)
		srv.OnStart(func(context.Context) error { t.Error("the next one ran"); return nil })
		if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Run: %v, want %s", err, name)
		}
		if srv.Addr() != nil {
			t.Error("it has listened")
		}
	}
}

// Behaviour 69, second half.
func TestAStopDuringTheStartIsACleanAbort(t *testing.T) {
	t.Parallel()
	var j journal
	srv := connectum.New(quiet())
	ctx, cancel := context.WithCancel(t.Context())
	srv.OnStart(func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	srv.OnReady(func(context.Context, net.Addr) { j.add("ready") })
	srv.OnShutdown("db", func() { j.add("db") })
	if err := srv.Run(ctx); err != nil || j.String() != "db" {
		t.Errorf("Run: %v, events %q", err, j.String())
	}

	srv = connectum.New(quiet())
	stopped := make(chan error, 1)
	srv.OnStart(func(ctx context.Context) error {
		go func() { stopped <- srv.Shutdown(context.Background()) }()
		<-ctx.Done()
		return nil
	})
	if err := srv.Run(t.Context()); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Behaviours 14 and 71: everything wrong is in one report, and nothing starts.
func TestEveryMistakeOfTheConfigurationIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Addr = "nonsense"
	cfg.TLS.KeyPEM = []byte("x")
	cfg.Limits.MaxHeaderBytes = -1
	cfg.Limits.PerProcedure = map[string]connectum.ProcedureLimits{"a/b/c": {}, "no.Such/*": {}}
	cfg.Shutdown.Timeout = -1
	cfg.Middleware = []func(http.Handler) http.Handler{nil}
	cfg.Interceptors = []connectum.Interceptor{{Name: "unbound"},
		{Name: "broken", Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return nil, errors.New("no such option") }},
		{Name: "wild", Bind: func(connect.Spec) (connect.ServerInterceptor, error) { panic("oops") }}}
	srv := connectum.New(cfg)
	testservice.Service{}.Register(srv.RPC())
	testservice.Service{}.Register(srv.With())
	srv.HandleAdmin("/metrics", http.NotFoundHandler())
	srv.Handle("/connectum.test.v1.TestService/Echo", http.NotFoundHandler())
	srv.OnShutdown("a", func() {}, "b")
	srv.OnShutdown("b", func() {}, "a", "nobody")
	err := srv.Check()
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, want := range []string{
		`Config.Addr: "nonsense"`, "Config.AdminAddr is empty, but HandleAdmin has /metrics", "Config.TLS.KeyPEM is set without a certificate",
		"Config.Limits.MaxHeaderBytes is -1", `Config.Limits.PerProcedure["a/b/c"]: want`, `PerProcedure["no.Such/*"] matches no procedure`,
		"Config.Shutdown.Timeout is -1ns", "Config.Middleware[0] is nil", `"unbound" to /connectum.test.v1.TestService/Echo: Bind is nil`,
		`"broken" to /connectum.test.v1.TestService/Echo: no such option`, `"wild" to /connectum.test.v1.TestService/Echo: panic: oops`,
		"/connectum.test.v1.TestService/Echo is registered on RPC and on With()", "is hidden by the procedure",
		`"b" runs after "nobody", which does not exist`, "a → b → a",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if again := srv.Run(t.Context()); again == nil || again.Error() != err.Error() {
		t.Errorf("Run reports %v", again)
	}
}

// What nobody can mean is a mistake, and not a server on which every call fails.
func TestWhatNobodyCanMeanIsAMistake(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*connectum.Config){
		"": func(c *connectum.Config) { // the control: as little as may be meant
			c.Limits.Timeout, c.Shutdown.StreamGrace, c.Limits.ReadStall, c.Limits.MaxHeaderBytes = time.Millisecond, time.Millisecond, -1, 1<<10
			c.Addr, c.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
		},
		"Config.Limits.Timeout is 30ns: it can't be less than 1ms; give it a unit": func(c *connectum.Config) { c.Limits.Timeout = 30 },
		"Config.Limits.HeaderTimeout is 5µs":                                       func(c *connectum.Config) { c.Limits.HeaderTimeout = 5000 },
		"Config.Shutdown.Timeout is 25ns":                                          func(c *connectum.Config) { c.Shutdown.Timeout = 25 },
		"Config.Shutdown.DrainDelay is 5ns":                                        func(c *connectum.Config) { c.Shutdown.DrainDelay = 5 },
		`Config.Limits.PerProcedure["connectum.test.v1.TestService/Echo"].Timeout is 2ns`: func(c *connectum.Config) {
			c.Limits.PerProcedure = map[string]connectum.ProcedureLimits{echoPath[1:]: {Timeout: 2}}
		},
		"Config.Limits.MaxHeaderBytes is 64: it can't be less than 1024":                        func(c *connectum.Config) { c.Limits.MaxHeaderBytes = 64 },
		`Config.Addr: "unix:/run/x.sock" is no address: want "host:port", ":port" or "unix:///`: func(c *connectum.Config) { c.Addr = "unix:/run/x.sock" },
		`Config.Addr: "unix:" is no address`:                                                    func(c *connectum.Config) { c.Addr = "unix:" },
		`Config.AdminAddr is "127.0.0.1:9", which Addr has`:                                     func(c *connectum.Config) { c.Addr, c.AdminAddr = "127.0.0.1:9", "127.0.0.1:9" },
		`Config.AdminAddr is ":5000", which Addr has`:                                           func(c *connectum.Config) { c.Addr, c.AdminAddr = "", ":5000" },
	} {
		cfg := quiet()
		change(&cfg)
		srv := connectum.New(cfg)
		testservice.Service{}.Register(srv.RPC())
		switch err := srv.Check(); {
		case want == "" && err != nil:
			t.Errorf("the control: %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestWhatIsRegisteredTooLateIsRefused(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	if err := srv.Check(); err != nil {
		t.Fatal(err)
	}
	testservice.Service{}.Register(srv.RPC()) // behaviour 49
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "TestService/Echo") {
		t.Errorf("Run: %v", err)
	}
	for name, f := range map[string]func(){
		"Handle": func() { srv.Handle("/x", http.NotFoundHandler()) },
		"With":   func() { srv.With() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after Run did not panic", name)
				}
			}()
			f()
		}()
	}
}

// Behaviour 16: an address is where it was asked for, a Unix socket too, also
// over one that a killed process left behind.
func TestAUnixSocketServesAndReplacesADeadOne(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	eventually(t, "the socket is dead", func() bool { // a process forked meanwhile holds it until it runs
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})

	cfg := quiet()
	cfg.Addr = "unix://" + path
	in := serving(t, cfg, testservice.Service{})
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer c.CloseIdleConnections()
	res := post(t, c, "http://unix/connectum.test.v1.TestService/Echo", "application/json", `{"text":"hi"}`)
	if got := body(t, res); res.StatusCode != 200 || !strings.Contains(got, "hi") {
		t.Errorf("%d %s", res.StatusCode, got)
	}
	second := connectum.New(cfg)
	if err := second.Run(t.Context()); err == nil {
		t.Error("a second server took the socket of a live one")
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
}

// Behaviours 45, 46, 47, 49, 50 and 113.
func TestTheInProcessDoorWorksBeforeRunAndOpensNothing(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	seen := make(chan connectum.Door, 1)
	testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		seen <- connectum.DoorOf(ctx)
		info, _ := connect.CallInfoForServerContext(ctx)
		info.ResponseHeader().Set("X-Back", info.RequestHeader().Get("X-Out"))
		req.Text = "changed" // must not reach the caller's message
		return &testv1.EchoResponse{Text: info.Spec.Procedure}, nil
	}}.Register(srv.RPC())
	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	ctx, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("X-Out", "there")
	req := &testv1.EchoRequest{Text: "mine"}
	res, err := client.Echo(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if res.GetText() != "/connectum.test.v1.TestService/Echo" || req.GetText() != "mine" || info.ResponseHeader().Get("X-Back") != "there" {
		t.Errorf("answer %v, request %v, headers %v", res, req, info.ResponseHeader())
	}
	if door := <-seen; door != connectum.DoorInProcess {
		t.Errorf("door %q", door)
	}
	if srv.Addr() != nil || srv.State() != connectum.StateCreated {
		t.Error("it listens")
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Echo(t.Context(), req); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("after the stop: %v", err)
	}
}

// Two servers in one process know nothing of each other.
func TestTwoServersAreIndependent(t *testing.T) {
	t.Parallel()
	a, b := serving(t, quiet(), testservice.Service{}), serving(t, quiet(), testservice.Service{})
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	client := testv1connect.NewTestServiceClient(b.connect(b.h1()))
	if _, err := client.Echo(t.Context(), &testv1.EchoRequest{Text: "still here"}); err != nil {
		t.Error(err)
	}
}

// A worker without services is a server like any other.
func TestAWorkerWithoutServicesRunsAndStops(t *testing.T) {
	t.Parallel()
	in := run(t, connectum.New(quiet()))
	if got := body(t, post(t, in.h1(), in.url("/x"), "text/plain", "")); !strings.Contains(got, "404") {
		t.Errorf("answer %q", got)
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
}

func TestOnReadyCallbacksRunBesideEachOther(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	second := make(chan struct{})
	srv.OnReady(func(ctx context.Context, _ net.Addr) { <-ctx.Done() }) // stays
	srv.OnReady(func(context.Context, net.Addr) { close(second) })
	in := run(t, srv)
	select {
	case <-second:
	case <-time.After(patience):
		t.Error("a callback that stays keeps the next one from running")
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
}
