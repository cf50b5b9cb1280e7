package interop_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	_ "google.golang.org/grpc/health" // switches on client-side health checking
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/health"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

const testService = "connectum.test.v1.TestService"

// healthy is a server with health whose answers say name.
type healthy struct {
	*connectum.Server
	checks *health.Checker
	addr   string
	run    *connectumtest.Server
}

func newHealthy(t *testing.T, name string) healthy {
	t.Helper()
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		return &testv1.EchoResponse{Text: name}, nil
	}}.Register(srv.RPC())
	h := healthy{Server: srv, checks: health.Register(srv)}
	h.run = connectumtest.Start(t, srv)
	h.addr = strings.TrimPrefix(h.run.URL(), "http://")
	return h
}

// Behaviours 100 to 106, through the code that grpc-go generates.
func TestGRPCGoChecksHealth(t *testing.T) {
	t.Parallel()
	h := newHealthy(t, "a")
	client := healthpb.NewHealthClient(dial(t, h.addr, nil))
	check := func(service string) healthpb.HealthCheckResponse_ServingStatus {
		t.Helper()
		res, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetStatus()
	}
	for _, service := range []string{"", testService} {
		if got := check(service); got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q is %v", service, got)
		}
	}
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nowhere.v1.Service"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	if err := h.checks.Set(testService, health.NotServing); err != nil {
		t.Fatal(err)
	}
	if got := check(testService); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("after Set it is %v", got)
	}
	list, err := client.List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got := list.GetStatuses()[testService].GetStatus(); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("listed as %v in %v", got, list)
	}
	if _, ok := list.GetStatuses()[""]; !ok {
		t.Errorf("the list has no status of the whole: %v", list)
	}
}

// Watch: the present status at once, then changes, an unknown service on an
// open stream, and NOT_SERVING before the stream ends well on shutdown.
func TestGRPCGoWatchesHealth(t *testing.T) {
	t.Parallel()
	h := newHealthy(t, "a")
	client := healthpb.NewHealthClient(dial(t, h.addr, nil))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := func(service string) grpc.ServerStreamingClient[healthpb.HealthCheckResponse] {
		t.Helper()
		s, err := client.Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	expect := func(s grpc.ServerStreamingClient[healthpb.HealthCheckResponse], want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if res, err := s.Recv(); err != nil || res.GetStatus() != want {
			t.Fatalf("%v, error %v; want %v", res, err, want)
		}
	}
	service, unknown := watch(testService), watch("nowhere.v1.Service")
	expect(service, healthpb.HealthCheckResponse_SERVING)
	expect(unknown, healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
	for _, to := range []health.Status{health.NotServing, health.Serving} {
		if err := h.checks.Set(testService, to); err != nil {
			t.Fatal(err)
		}
		expect(service, healthpb.HealthCheckResponse_ServingStatus(to))
	}
	if err := h.run.Stop(); err != nil {
		t.Error(err)
	}
	expect(service, healthpb.HealthCheckResponse_NOT_SERVING)
	if _, err := service.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the watch ended with %v", err)
	}
}

// Client-side health checking takes a server that is not serving out of
// rotation, puts it back, and leaves it for good when it stops.
func TestGRPCGoBalancesByHealth(t *testing.T) {
	t.Parallel()
	a, b := newHealthy(t, "a"), newHealthy(t, "b")
	r := manual.NewBuilderWithScheme("both")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: a.addr}, {Addr: b.addr}}})
	conn := dial(t, "both:///", nil, grpc.WithResolvers(r), grpc.WithDefaultServiceConfig(
		`{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":"`+testService+`"}}`))
	client := grpcclient.Client{Conn: conn}
	served := func() string {
		t.Helper()
		res, err := client.Echo(t.Context(), &testv1.EchoRequest{}, grpc.WaitForReady(true))
		if err != nil {
			t.Fatalf("a call: %v", err)
		}
		return res.GetText()
	}
	only := func(want ...string) {
		t.Helper()
		var last map[string]int
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			last = map[string]int{}
			for range 20 {
				last[served()]++
			}
			all := len(last) == len(want)
			for _, name := range want {
				all = all && last[name] > 0
			}
			if all {
				return
			}
		}
		t.Fatalf("calls go to %v, want %v alone", last, want)
	}
	set := func(h healthy, to health.Status) {
		t.Helper()
		if err := h.checks.Set(testService, to); err != nil {
			t.Fatal(err)
		}
	}
	only("a", "b")
	set(a, health.NotServing)
	only("b")
	set(a, health.Serving)
	only("a", "b")
	if err := b.run.Stop(); err != nil {
		t.Error(err)
	}
	only("a")

	// Nobody is left: the channel says so, and why.
	set(a, health.NotServing)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for state := conn.GetState(); state != connectivity.TransientFailure; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			t.Fatalf("the channel is %v", state)
		}
	}
	if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("with nobody serving: %v", err)
	}
}
