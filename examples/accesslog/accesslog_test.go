package accesslog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"go.uber.org/zap/zapcore"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/examples/accesslog"
	"github.com/connectum-go/connectum/examples/faults"
	faultsv1 "github.com/connectum-go/connectum/examples/gen/faults/v1"
	"github.com/connectum-go/connectum/examples/gen/faults/v1/faultsv1connect"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/interceptor"
)

// disk keeps what is written, and how many lines each write had. While it is full
// it takes nothing.
type disk struct {
	mu   sync.Mutex
	all  bytes.Buffer
	each []int
	full bool
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return 0, errFull
	}
	d.each = append(d.each, bytes.Count(p, []byte("\n")))
	return d.all.Write(p)
}

func (d *disk) fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// want compares the lines of each write until now.
func (d *disk) want(t *testing.T, each ...int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	connectumtest.Want(t, fmt.Sprint(d.each), fmt.Sprint(each))
}

// server has the log and two services, one of which fails.
func server(t *testing.T, access *slog.Logger) *connectum.Server {
	srv := connectum.New(connectum.Config{
		Logger:       connectumtest.Logger(t),
		Interceptors: interceptor.Defaults(interceptor.Config{Log: &interceptor.LogConfig{Logger: access}}),
	})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	faultsv1connect.RegisterFaultServiceHandler(srv.RPC(), faults.Service{})
	return srv
}

func hello(t *testing.T, client *connect.Client) {
	t.Helper()
	if _, err := greeterv1connect.NewGreeterServiceClient(client).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"}); err != nil {
		t.Error(err)
	}
}

func fail(t *testing.T, client *connect.Client) {
	t.Helper()
	_, err := faultsv1connect.NewFaultServiceClient(client).Fail(t.Context(), new(faultsv1.FailRequest))
	connectumtest.WantError(t, err, connect.CodeInternal)
}

func TestLinesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		lines := accesslog.Buffer(d, 100*time.Millisecond)
		srv := server(t, slog.New(accesslog.Urgent(slog.NewJSONHandler(lines, nil), lines.Sync)))
		srv.OnShutdown("access log", lines.Stop)
		client := connectumtest.Start(t, srv, connectumtest.InMemory()).Client(t, "connect proto http1")

		for range 3 {
			hello(t, client)
		}
		d.want(t)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		d.want(t, 3) // after the interval

		hello(t, client)
		fail(t, client)
		d.want(t, 3, 2) // at once, and in order

		for range 200 {
			hello(t, client)
		}
		d.mu.Lock()
		if len(d.each) < 4 || d.each[2] < 20 {
			t.Errorf("writes of %v lines, want one when the buffer was full", d.each)
		}
		d.mu.Unlock()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if got := bytes.Count(d.all.Bytes(), []byte(`"msg":"call"`)); got != 205 || bytes.Count(d.all.Bytes(), []byte("\n")) != got {
			t.Errorf("%d lines of 205 calls:\n%s", got, &d.all)
		}
	})
}

// A handler that is derived, as that of the access log is, is urgent too; and what
// is only informative is not, also in a group.
func TestDerivedHandlersAreUrgent(t *testing.T) {
	t.Parallel()
	d := new(disk)
	lines := accesslog.Buffer(d, time.Hour)
	defer func() { _ = lines.Stop() }()
	log := slog.New(accesslog.Urgent(slog.NewTextHandler(lines, nil), lines.Sync)).With("a", 1).WithGroup("g").With("b", 2)
	log.Info("x")
	d.want(t)
	log.Warn("y")
	d.want(t, 2)
	log.Error("z")
	d.want(t, 2, 1)
}

// The log goes on when a disk that was full has room again. Without what Buffer
// puts before it, the library's writer is silent from then on.
func TestADiskThatWasFullEndsNoLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(io.Writer) *zapcore.BufferedWriteSyncer
		want []int
	}{
		{"Buffer", func(w io.Writer) *zapcore.BufferedWriteSyncer { return accesslog.Buffer(w, time.Hour) }, []int{1, 1}},
		{"the control", func(w io.Writer) *zapcore.BufferedWriteSyncer {
			return &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(w), FlushInterval: time.Hour}
		}, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := new(disk)
			lines := c.make(d)
			defer func() { _ = lines.Stop() }()
			srv := server(t, slog.New(accesslog.Urgent(slog.NewJSONHandler(lines, nil), lines.Sync)))
			client := connectumtest.Client(t, srv)
			fail(t, client)
			d.fill(true)
			fail(t, client) // the call is not affected
			d.fill(false)
			fail(t, client)
			d.want(t, c.want...)
		})
	}
}
