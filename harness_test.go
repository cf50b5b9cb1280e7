package connectum_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/testservice"
)

const patience = 30 * time.Second // for what happens at once, on a machine that may be busy

// quiet is a Config on a free port that logs to nobody.
func quiet() connectum.Config {
	return connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
}

// instance is a server that runs.
type instance struct {
	*connectum.Server
	t      testing.TB
	scheme string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// run runs srv until the test ends or stop is called.
func run(t testing.TB, srv *connectum.Server) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	in := &instance{Server: srv, t: t, scheme: "http", cancel: cancel, done: make(chan struct{})}
	ready := make(chan struct{})
	srv.OnReady(func(context.Context, net.Addr) { close(ready) })
	go func() {
		defer close(in.done)
		in.err = srv.Run(ctx)
	}()
	t.Cleanup(func() { in.stop() })
	select {
	case <-ready:
	case <-in.done:
		t.Fatalf("Run: %v", in.err)
	case <-time.After(patience):
		t.Fatal("the server is not ready")
	}
	return in
}

// stop stops the server and returns the error of Run.
func (in *instance) stop() error {
	in.t.Helper()
	in.cancel()
	return in.wait()
}

func (in *instance) wait() error {
	in.t.Helper()
	select {
	case <-in.done:
	case <-time.After(2 * patience):
		in.t.Fatalf("Run does not return; the server is %v with %d calls in flight", in.State(), in.InFlight())
	}
	return in.err
}

func (in *instance) url(path string) string { return in.scheme + "://" + in.Addr().String() + path }

// h1 and h2 are clients of their own for one test, without keep-alive leftovers.
func (in *instance) h1() *http.Client { return in.httpClient(false, nil) }
func (in *instance) h2() *http.Client { return in.httpClient(true, nil) }

func (in *instance) httpClient(two bool, config *tls.Config) *http.Client {
	p := new(http.Protocols)
	switch {
	case !two:
		p.SetHTTP1(true)
	case config != nil:
		p.SetHTTP2(true)
	default:
		p.SetUnencryptedHTTP2(true)
	}
	if config != nil {
		config = config.Clone() // http.Transport changes the one it is given
	}
	tr := &http.Transport{Protocols: p, TLSClientConfig: config, MaxIdleConnsPerHost: 100}
	in.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// client returns a client of the test service.
func (in *instance) connect(c *http.Client, opts ...connecthttp.Option) *connect.Client {
	return connect.NewClient(connecthttp.NewTransport(c, in.url(""), opts...))
}

// dialects are the ways to call over plaintext HTTP.
func (in *instance) dialects() map[string]*connect.Client {
	return map[string]*connect.Client{
		"connect json h1":  in.connect(in.h1(), connecthttp.WithProtoJSON()),
		"connect proto h1": in.connect(in.h1()),
		"connect proto h2": in.connect(in.h2()),
		"grpcweb h1":       in.connect(in.h1(), connecthttp.WithGRPCWeb()),
		"grpcweb h2":       in.connect(in.h2(), connecthttp.WithGRPCWeb()),
		"grpc h2":          in.connect(in.h2(), connecthttp.WithGRPC()),
		"in-process":       connect.NewClient(in.Transport()),
	}
}

// newPlainClient returns a client over HTTP/1.1.
func newPlainClient(t testing.TB, url string) *connect.Client {
	tr := new(http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	return connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: tr}, url))
}

// serving returns a running server of svc.
func serving(t testing.TB, cfg connectum.Config, svc testservice.Service) *instance {
	t.Helper()
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	return run(t, srv)
}

// eventually polls until ok, or fails.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// journal collects what happens, in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) add(event string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.events, " ")
}

// logbook is a slog handler's output that a test may read meanwhile.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return string(b)
}

func post(t testing.TB, c *http.Client, url, contentType, payload string) *http.Response {
	t.Helper()
	res, err := c.Post(url, contentType, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}
