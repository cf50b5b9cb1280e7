//go:build unix

package accesslog_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/examples/accesslog"
	"github.com/connectum-go/connectum/examples/faults"
	"github.com/connectum-go/connectum/examples/gen/faults/v1/faultsv1connect"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/interceptor"
)

const asProgram = "ACCESSLOG_TEST_PROGRAM"

// TestMain lets the test binary be a program whose lines are not written because
// time has passed.
func TestMain(m *testing.M) {
	mode := os.Getenv(asProgram)
	if mode == "" {
		os.Exit(m.Run()) //nolint:forbidigo // it is the main of a test
	}
	lines := accesslog.Buffer(os.Stderr, time.Hour)
	access := slog.New(accesslog.Urgent(slog.NewJSONHandler(lines, nil), lines.Sync))
	srv := connectum.New(connectum.Config{
		Addr:         "127.0.0.1:0",
		Interceptors: interceptor.Defaults(interceptor.Config{Log: &interceptor.LogConfig{Logger: access}}),
	})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), patient{})
	faultsv1connect.RegisterFaultServiceHandler(srv.RPC(), faults.Service{})
	srv.OnReady(func(_ context.Context, addr net.Addr) { fmt.Fprintln(os.Stderr, "ready", addr) })
	if mode == stopped {
		srv.OnShutdown("access log", lines.Stop)
	}
	connectum.Main(srv)
}

const (
	stopped = "stopped" // with the hook
	control = "control" // without
)

// patient answers Bob when the server is told to stop.
type patient struct{ greeter.Service }

func (p patient) SayHello(ctx context.Context, req *greeterv1.SayHelloRequest) (*greeterv1.SayHelloResponse, error) {
	if req.GetName() == "Bob" {
		fmt.Fprintln(os.Stderr, "waiting")
		<-connectum.Draining(ctx)
	}
	return p.Service.SayHello(ctx, req)
}

// Lines wait, but not that of an error; a stop writes the last ones, those of calls
// that end during the stop among them. Without the hook they are lost.
func TestNoLineIsLostWithAStop(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{stopped: 10 + 1 + 5 + 1, control: 10 + 1} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), asProgram+"="+mode)
			pipe, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			log := &output{lines: bufio.NewScanner(pipe)}
			pool := new(http.Transport)
			defer pool.CloseIdleConnections()
			client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: pool}, "http://"+log.until(t, "ready ")))

			for range 10 {
				hello(t, client)
			}
			fail(t, client)
			log.until(t, `"code":"internal"`)
			if log.calls != 11 {
				t.Errorf("%d lines of 11 calls when the last has failed", log.calls)
			}
			for range 5 {
				hello(t, client)
			}
			late := make(chan error, 1)
			go func() {
				_, err := greeterv1connect.NewGreeterServiceClient(client).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Bob"})
				late <- err
			}()
			log.until(t, "waiting")
			if log.calls != 11 {
				t.Errorf("%d lines, want 5 of 16 to wait", log.calls)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := <-late; err != nil {
				t.Error(err)
			}
			log.until(t, "")
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v\n%s", err, &log.all)
			}
			if log.calls != want {
				t.Errorf("%d lines of calls, want %d:\n%s", log.calls, want, &log.all)
			}
		})
	}
}

// output is what a program writes, read line by line.
type output struct {
	lines *bufio.Scanner
	all   strings.Builder
	calls int
}

// until reads up to a line with text and returns what follows it there; to the end
// for "".
func (o *output) until(t *testing.T, text string) string {
	t.Helper()
	for o.lines.Scan() {
		line := o.lines.Text()
		o.all.WriteString(line + "\n")
		if strings.Contains(line, `"msg":"call"`) {
			o.calls++
		}
		if _, rest, ok := strings.Cut(line, text); ok && text != "" {
			return rest
		}
	}
	if text != "" || o.lines.Err() != nil {
		t.Fatalf("no line with %q (%v):\n%s", text, o.lines.Err(), &o.all)
	}
	return ""
}
