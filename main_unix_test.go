//go:build unix

package connectum_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

const asProgram = "CONNECTUM_TEST_PROGRAM"

// TestMain lets the test binary be a program whose Echo hangs, and whose hook or
// log does when it is told to.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run()) //nolint:forbidigo // it is the main of a test
	}
	cfg, log := connectum.Config{Addr: "127.0.0.1:0"}, new(stuckLog)
	if os.Getenv(asProgram) == "log" {
		cfg.Logger = slog.New(log)
	}
	srv := connectum.New(cfg)
	testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		if req.GetText() == "hang" {
			println("hanging")
			select {}
		}
		return &testv1.EchoResponse{}, nil
	}}.Register(srv.RPC())
	srv.OnReady(func(_ context.Context, addr net.Addr) {
		log.set(make(chan struct{}))
		println("ready " + addr.String())
	})
	if os.Getenv(asProgram) == "hook" {
		srv.OnShutdown("stuck", func() { println("stuck"); select {} })
	}
	connectum.Main(srv)
}

// Behaviour 69: one signal ends cleanly; a second cuts what is left and fails; a
// third exits on the spot.
func TestSignalsEndTheProgram(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, mode string
		hang       bool
		signals    []string // what is logged before each
		code       int
	}{
		{"one", "plain", false, []string{"ready "}, 0},
		{"two with a call that hangs", "plain", true, []string{"hanging", "count=1"}, 1},
		{"three with a hook that hangs", "hook", false, []string{"ready ", "stuck", "count=2"}, 1},
		{"one with a log that hangs", "log", false, []string{"ready "}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), asProgram+"="+c.mode)
			log, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			press := make(chan int, len(c.signals))
			var pressing sync.WaitGroup
			pressing.Go(func() {
				var again <-chan time.Time
				for {
					select {
					case n, more := <-press:
						if !more {
							return
						}
						if again = nil; n > 0 { // too soon after the last it says nothing new
							again = time.Tick(20 * time.Millisecond)
						}
					case <-again:
					}
					_ = cmd.Process.Signal(syscall.SIGTERM)
				}
			})
			var all strings.Builder
			next := 0
			for lines := bufio.NewScanner(log); lines.Scan(); {
				line := lines.Text()
				all.WriteString(line + "\n")
				if addr, ok := strings.CutPrefix(line, "ready "); ok && c.hang {
					go func() {
						client := testv1connect.NewTestServiceClient(newPlainClient(t, "http://"+addr))
						_, _ = client.Echo(t.Context(), &testv1.EchoRequest{Text: "hang"})
					}()
				}
				if next < len(c.signals) && strings.Contains(line, c.signals[next]) {
					press <- next
					next++
				}
			}
			close(press)
			pressing.Wait()
			code := 0
			if exit, ok := errors.AsType[*exec.ExitError](cmd.Wait()); ok {
				code = exit.ExitCode()
			}
			if code != c.code || next != len(c.signals) {
				t.Errorf("exit code %d after %d signals, want %d after %d:\n%s", code, next, c.code, len(c.signals), all.String())
			}
		})
	}
}
