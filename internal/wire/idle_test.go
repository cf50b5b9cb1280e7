package wire_test

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/connectum-go/connectum/internal/wire"
)

var idleConns = flag.Int("idle", 1000, "connections BenchmarkIdleConnection opens; mind ulimit -n")

// idleServer is the environment variable that makes a process the server of
// BenchmarkIdleConnection: a variant and a kind.
const idleServer = "WIRE_IDLE_SERVER"

// BenchmarkIdleConnection reports the memory of idle connections that have each
// served one call, in a process of its own, next to net/http alone:
//
//	go test -run - -bench IdleConnection -benchtime 1x ./internal/wire -idle 10000
func BenchmarkIdleConnection(b *testing.B) {
	for _, kind := range []string{"h1", "h2", "h1 over TLS", "h2 over TLS"} {
		for _, variant := range []string{"plain", "wire"} {
			b.Run(kind+"/"+variant, func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(idleMemory(b, kind, variant, *idleConns)/float64(*idleConns)/1024, "KiB/conn")
				}
			})
		}
	}
}

// idleMemory returns what connections add to a server's heap and stacks.
func idleMemory(b testing.TB, kind, variant string, conns int) float64 {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestIdleServer$")
	cmd.Env = append(os.Environ(), idleServer+"="+variant+" "+kind)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	lines.Scan()
	addr := lines.Text()
	memory := func() (n float64) {
		fmt.Fprintln(in)
		lines.Scan()
		fmt.Sscan(lines.Text(), &n)
		return n
	}
	before := memory()
	var wg sync.WaitGroup
	turns := make(chan struct{}, 50)
	for range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			alpn := "http/1.1"
			if kind[:2] == "h2" {
				alpn = "h2"
			}
			if len(kind) > 2 {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}})
			}
			if alpn == "h2" {
				p := &peer{c, b}
				p.begin()
				p.send(get(1, "/"))
				p.answered(1)
				return
			}
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: wire.test\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return memory() - before
}

// TestIdleServer is the server of BenchmarkIdleConnection, and nothing otherwise.
func TestIdleServer(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	var variant, kind string
	if fmt.Sscan(os.Getenv(idleServer), &variant, &kind); variant == "" {
		return
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: hello, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	secure := len(os.Getenv(idleServer)) > len(variant+" "+kind)
	cfg := all()
	cfg = secured(t, cfg)
	switch {
	case variant == "wire":
		if !secure {
			cfg.TLS = nil
		}
		l := wire.Listen(tcp, cfg)
		srv.ConnState, srv.ConnContext = l.ConnState, l.ConnContext
		go srv.Serve(l)
	case secure:
		srv.Protocols.SetHTTP2(true)
		srv.TLSConfig = cfg.TLS
		go srv.ServeTLS(tcp, "", "")
	default:
		go srv.Serve(tcp)
	}
	fmt.Println(tcp.Addr())
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
