package guides_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

// What docs/server.md shows is here, word for word.

func TestServer(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Addr: ":5000"})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	ctx := t.Context()
	client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(srv.Transport()))
	res, err := client.SayHello(ctx, &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil || res.GetMessage() != "Hello, Ada!" {
		t.Errorf("%v, %v", res, err)
	}
}

func TestServerRun(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Addr: "localhost:0", Logger: connectumtest.Logger(t)})
	run := func() error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err := srv.Run(ctx) // listens, serves until ctx ends, drains, runs the hooks
		return err
	}
	done := make(chan error, 1)
	go func() { done <- run() }()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil && err != connectum.ErrServerClosed {
		t.Error(err)
	}
}

func TestServerPlainHTTP(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Addr: "localhost:0", AdminAddr: "localhost:0", Logger: connectumtest.Logger(t)})
	srv.Handle("GET /version", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("v1.2.3\n"))
	}))
	config := http.NotFoundHandler()
	srv.HandleAdmin("GET /config", config)
	s := connectumtest.Start(t, srv)
	res, err := s.HTTP1().Get(s.URL() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "v1.2.3\n" {
		t.Errorf("%s: %q", res.Status, body)
	}
}

// The example has no such service, so the server must say so.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Limits: connectum.Limits{
		Timeout: 10 * time.Second, // of unary calls; the default is 30 s
		PerProcedure: map[string]connectum.ProcedureLimits{
			"files.v1.FileService/Upload": {MaxReceiveBytes: 64 << 20, Timeout: 5 * time.Minute},
			"files.v1.FileService/*":      {MaxReceiveBytes: 16 << 20},
		},
	}})
	err := srv.Check()
	if err == nil || !strings.Contains(err.Error(), "files.v1.FileService/Upload") || !strings.Contains(err.Error(), "files.v1.FileService/*") {
		t.Errorf("patterns that match nothing: %v", err)
	}
}

// What docs/migrating.md shows.

func TestMigratingStepByStep(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), headers{})
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler())
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, greeterv1connect.GreeterServiceSayHelloProcedure, strings.NewReader(`{"name":"Ada"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Tenant", "acme")
	mux.ServeHTTP(w, r)
	if w.Header().Get("X-Served-For") != "acme" || !strings.Contains(w.Body.String(), "Hello, Ada") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

type headers struct{ greeter.Service }

func (headers) SayHello(ctx context.Context, req *greeterv1.SayHelloRequest) (*greeterv1.SayHelloResponse, error) {
	info, _ := connect.CallInfoForServerContext(ctx)
	tenant := info.RequestHeader().Get("X-Tenant")
	info.ResponseHeader().Set("X-Served-For", tenant)
	return &greeterv1.SayHelloResponse{Message: "Hello, " + req.GetName()}, nil
}
