package wire_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/connectum-go/connectum/internal/wire"
)

// counted counts the system calls of the connections it accepts.
type counted struct {
	net.Listener
	calls atomic.Int64
}

type countedConn struct {
	net.Conn
	calls *atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{c, &l.calls}, err
}

func (c *countedConn) Read(p []byte) (int, error)  { c.calls.Add(1); return c.Conn.Read(p) }
func (c *countedConn) Write(p []byte) (int, error) { c.calls.Add(1); return c.Conn.Write(p) }

// variants are what the benchmarks compare: net/http alone and with all parts.
var variants = []struct {
	name string
	cfg  wire.Config
}{{"plain", wire.Config{}}, {"wire", all()}}

// answer is a gRPC answer in shape: headers, one message, trailers.
func answer(size int) http.Handler {
	message := make([]byte, size)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		h := w.Header()
		h["Content-Type"] = []string{"application/grpc"}
		h["Trailer"] = []string{"Grpc-Status"}
		w.Write(message)
		h["Grpc-Status"] = []string{"0"}
	})
}

func BenchmarkUnary(b *testing.B) {
	for _, bench := range []struct {
		name    string
		clients int
		size    int
		count   bool
	}{
		{"64 in flight", 64, 34, false},
		{"64 in flight, counted", 64, 34, true},
		{"64 in flight, 10 KB", 64, 10 << 10, false},
		{"1 in flight", 1, 34, false},
	} {
		for _, v := range variants {
			b.Run(bench.name+"/"+v.name, func(b *testing.B) {
				tcp, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				l := &counted{Listener: tcp}
				if bench.count {
					tcp = l
				}
				s := serveOn(b, tcp, v.cfg, answer(bench.size), nil)
				unary(b, s.client(b, "h2"), s.url("/"), bench.clients)
				if bench.count {
					b.ReportMetric(float64(l.calls.Load())/float64(b.N), "calls/op")
				}
			})
		}
	}
}

// unary makes b.N calls, clients at a time.
func unary(b *testing.B, client *http.Client, url string, clients int) {
	body := make([]byte, 26)
	call := func() {
		resp, err := client.Post(url, "application/grpc", bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	call()
	b.ReportAllocs()
	var wg sync.WaitGroup
	work := make(chan struct{})
	for range clients {
		wg.Go(func() {
			for range work {
				call()
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
}
