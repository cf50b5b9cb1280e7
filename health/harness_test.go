package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
	healthv1 "github.com/connectum-go/connectum/internal/gen/connectum/health/v1"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestMain(m *testing.M) { leak.Main(m) }

const (
	served  = "connectum.test.v1.TestService"
	sibling = "connectum.test.v1.EmptyService" // of the same file, not mounted
)

// server returns a server with a service and health.
func server(cfg connectum.Config, opts ...health.Option) (*connectum.Server, *health.Checker) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv := connectum.New(cfg)
	checks := health.Register(srv, opts...) // before the services: the order does not matter
	testservice.Service{}.Register(srv.RPC())
	return srv, checks
}

// asker calls grpc.health.v1.
type asker struct{ *connect.Client }

// inProcess asks srv without a door of the network.
func inProcess(srv *connectum.Server) asker { return asker{connect.NewClient(srv.Transport())} }

func procedure(method string, kind connect.StreamType) connect.Spec {
	return connect.Spec{StreamType: kind, Procedure: "/grpc.health.v1.Health/" + method}
}

// check returns the status, or the code of the error.
func (a asker) check(ctx context.Context, service string) string {
	res := new(healthv1.HealthCheckResponse)
	err := a.CallUnary(ctx, procedure("Check", connect.StreamTypeUnary), &healthv1.HealthCheckRequest{Service: service}, res)
	if err != nil {
		return connect.CodeOf(err).String()
	}
	return res.GetStatus().String()
}

func (a asker) list(t testing.TB) map[string]string {
	t.Helper()
	res := new(healthv1.HealthListResponse)
	if err := a.CallUnary(t.Context(), procedure("List", connect.StreamTypeUnary), new(healthv1.HealthListRequest), res); err != nil {
		t.Fatalf("List: %v", err)
	}
	out := map[string]string{}
	for name, s := range res.GetStatuses() {
		out[name] = s.GetStatus().String()
	}
	return out
}

// watcher is a Watch.
type watcher struct{ connect.ClientStream }

func (a asker) watch(t testing.TB, service string) watcher {
	t.Helper()
	stream, err := a.CallServerStream(t.Context(), procedure("Watch", connect.StreamTypeServer), &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return watcher{stream}
}

// next returns the next status, or "end", or the error.
func (w watcher) next() string {
	res := new(healthv1.HealthCheckResponse)
	switch err := w.Receive(res); {
	case errors.Is(err, io.EOF):
		return "end"
	case err != nil:
		return err.Error()
	}
	return res.GetStatus().String()
}

// page is what an HTTP probe answered.
type page struct {
	code   int
	body   string
	header http.Header
}

func fetch(t testing.TB, c *http.Client, method, url string, header ...string) page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{res.StatusCode, strings.TrimSuffix(string(body), "\n"), res.Header}
}

func (p page) json(t testing.TB) map[string]any {
	t.Helper()
	if got := p.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q: %s", got, p.body)
	}
	out := map[string]any{}
	if err := json.Unmarshal([]byte(p.body), &out); err != nil {
		t.Fatalf("%s: %v", p.body, err)
	}
	return out
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// run starts srv in memory, which works inside synctest.
func run(t testing.TB, srv *connectum.Server) *doors.Run {
	t.Helper()
	return doors.Start(t, srv, doors.Config{Memory: true})
}

// other mounts a second service.
func other(srv *connectum.Server) { mount(srv, "grpc.other.v1.Service") }

// mount mounts a service that does nothing.
func mount(srv *connectum.Server, service string) {
	srv.RPC().Register(connect.Method{
		Spec:    connect.Spec{Procedure: "/" + service + "/Call"},
		Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil },
	})
}

// overUnix returns a client that speaks to a Unix socket, whatever the host.
func overUnix(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
}
