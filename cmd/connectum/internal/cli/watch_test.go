package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cmd/connectum/internal/cli"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/health"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

// serveAt runs a server with health on a socket, and returns how to stop it.
// Nobody else takes its name between two of them, as a port might be.
func serveAt(t *testing.T, socket string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	health.Register(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), l) }()
	return func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-ended
	}
}

// A watch tells of a stop, of the time without a server, and of the next one.
func TestAWatchOutlivesARestart(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	stop := serveAt(t, socket)
	ctx, cancel := context.WithCancel(t.Context())
	shown, out := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{"health", "unix://" + socket, "--watch"}, &term.IO{Out: out, Err: io.Discard, Env: os.Getenv})
		out.Close()
	}()
	lines := bufio.NewScanner(shown)
	until := func(want string, passing ...string) {
		t.Helper()
		for lines.Scan() {
			_, status, _ := strings.Cut(lines.Text(), " ")
			if status == want {
				return
			}
			if len(passing) == 0 || status != passing[0] {
				t.Errorf("it shows %s, want %s", status, want)
			}
		}
		t.Fatalf("it ends before %s", want)
	}
	until("SERVING")
	stop()
	until("UNREACHABLE", "NOT_SERVING")
	stop = serveAt(t, socket)
	defer stop()
	until("SERVING", "NOT_SERVING") // which it is while it starts
	cancel()
	if lines.Scan() {
		t.Errorf("it shows %s after the end", lines.Text())
	}
	if got := <-code; got != exit.OK {
		t.Errorf("exit code %d, want that of the last status", got)
	}
}

// Ctrl-C ends a run, and what there is is shown.
func TestAnInterruptedBenchShowsWhatThereIs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	srv := connectum.New(quiet())
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		if calls.Add(1) == 20 {
			cancel()
		}
		return &testv1.EchoResponse{}, nil
	}}.Register(srv.RPC())
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	code, out, errs := run(ctx, nil, "bench", s.URL(), "connectum.test.v1.TestService/Echo", "--rate", "200", "--duration", "1m", "--warmup", "0", "--json")
	var result struct {
		Interrupted bool
		OK, NotSent int
		Cut         int
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("%v: %q, %q", err, out, errs)
	}
	// What a busy machine has not answered a second later is cut.
	if got := result.OK + result.Cut; code != exit.OK || !result.Interrupted || got < 19 || got+result.NotSent != 200*60 {
		t.Errorf("exit code %d, %+v, %q", code, result, errs)
	}
}

// On a terminal a bar moves while a run goes on, and nothing of it is left.
func TestABenchShowsABarOnATerminal(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	errs := &awaited{text: " of 3000 calls, 0 failed, p99 ", then: cancel}
	code := cli.Run(ctx, []string{"bench", s.URL(), "connectum.test.v1.TestService/Echo", "--rate", "50", "--duration", "1m", "--warmup", "0"},
		&term.IO{Out: &out, Err: errs, ErrTerminal: true, Env: os.Getenv})
	if code != exit.OK || ctx.Err() == nil || !strings.HasPrefix(errs.String(), "\r\x1b[K") || !strings.HasSuffix(errs.String(), "\r\x1b[K") {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("colour on a pipe: %q", out.String())
	}
}

// awaited keeps what is written to it, and calls then once it has the text.
type awaited struct {
	strings.Builder
	text string
	then func()
}

func (a *awaited) Write(p []byte) (int, error) {
	n, err := a.Builder.Write(p)
	if strings.Contains(a.String(), a.text) {
		a.then()
	}
	return n, err
}
