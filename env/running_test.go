package env_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// running is a server that an environment has configured, on a listener in
// memory, so that it runs by the fake clock.
type running struct {
	*connectum.Server
	t      *testing.T
	memory *doors.Memory
	done   chan error
}

func start(t *testing.T, variables map[string]string, svc testservice.Service) *running {
	t.Helper()
	cfg := parse(t, variables).Server()
	cfg.Logger = slog.New(slog.DiscardHandler)
	r := &running{Server: connectum.New(cfg), t: t, memory: doors.NewMemory("localhost:80"), done: make(chan error, 1)}
	svc.Register(r.RPC())
	go func() { r.done <- r.Serve(context.Background(), r.memory) }()
	synctest.Wait()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Shutdown(over)
		time.Sleep(time.Hour) // what ignores its end has ended then
	})
	return r
}

func (r *running) dial() net.Conn {
	r.t.Helper()
	return r.memory.Open(r.t)
}

func (r *running) http(two bool) *http.Client { return r.memory.Client(r.t, two) }

func (r *running) client(opts ...connecthttp.Option) testv1connect.TestServiceClient {
	return testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(r.http(true), "http://localhost", opts...)))
}

// closes returns how long the server takes to close c.
func closes(c net.Conn) string {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(began).String()
}

// outcome is what a caller sees, in a word.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return connect.CodeOf(err).String()
}

// setting probes for one of the server's HTTP/2 settings (RFC 9113 section 6.5.2).
func setting(id uint16) func(r *running) string {
	return func(r *running) string {
		f, err := attack.HTTP2(r.t, r.dial(), 1<<20).Until(attack.Settings)
		if err != nil {
			return err.Error()
		}
		v, _ := f.Setting(id)
		return strconv.Itoa(int(v))
	}
}

// stopping stops the server under a call that takes a minute.
func stopping(r *running) string {
	go func() { _, _ = r.client().Echo(context.Background(), &testv1.EchoRequest{}) }()
	synctest.Wait()
	began := time.Now()
	go func() { _ = r.Shutdown(context.Background()) }()
	how := "clean"
	if err := <-r.done; errors.Is(err, connectum.ErrForced) {
		how = "forced"
	}
	return how + " " + time.Since(began).Round(time.Second).String()
}
