package grpcnative_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// idleServer is the environment variable that makes a process the server of
// BenchmarkIdleConnection: with the engine or without.
const idleServer = "GRPCNATIVE_IDLE_SERVER"

// BenchmarkIdleConnection reports what an idle gRPC connection that has served one
// call takes of the server's heap and stacks, by either door, in a process of its
// own:
//
//	go test -run - -bench IdleConnection -benchtime 1x .
func BenchmarkIdleConnection(b *testing.B) {
	for _, variant := range []string{"native", "net/http"} {
		b.Run(variant, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(idleMemory(b, variant, 500)/500/1024, "KiB/conn")
			}
		})
	}
}

func idleMemory(b testing.TB, variant string, conns int) float64 {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestIdleServer$")
	cmd.Env = append(os.Environ(), idleServer+"="+variant)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	lines.Scan()
	addr := lines.Text()
	memory := func() (n float64) {
		_, _ = fmt.Fprintln(in)
		lines.Scan()
		_, _ = fmt.Sscan(lines.Text(), &n)
		return n
	}
	before := memory()
	for range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		p := silentPeer(b, c, 1<<20)
		if _, err := p.Until(attack.Settings); err != nil {
			b.Fatal(err)
		}
		p.Acknowledge()
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
	}
	return memory() - before
}

// TestIdleServer is the server of BenchmarkIdleConnection, and nothing otherwise.
func TestIdleServer(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	variant := os.Getenv(idleServer)
	if variant == "" {
		return
	}
	srv := newServer(quiet(), native())
	if variant != "native" {
		srv = connectum.New(quiet())
		testservice.Service{}.Register(srv.RPC())
	}
	srv.OnReady(func(_ context.Context, a net.Addr) { fmt.Println(a) })
	connectumtest.Start(t, srv)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		for range 6 { // stacks shrink by half a collection; pools empty in two
			runtime.GC()
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(m.HeapInuse + m.StackInuse)
	}
}
