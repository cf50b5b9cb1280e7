package wire_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/connectum-go/connectum/internal/coalesce"
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

// start serves h over tcp, by net/http alone or with every part of the package.
func start(b *testing.B, tcp net.Listener, h http.Handler, wired bool) {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	if wired {
		l := wire.Listen(tcp, all())
		srv.ConnState, srv.ConnContext = l.ConnState, l.ConnContext
		tcp = l
	}
	go srv.Serve(tcp)
	b.Cleanup(func() { srv.Close() })
}

func listen(b *testing.B) *counted {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return &counted{Listener: tcp}
}

func clientOf(b *testing.B, proto string) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: 1000}
	tr.Protocols.SetHTTP1(proto == "h1")
	tr.Protocols.SetUnencryptedHTTP2(proto == "h2")
	b.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// both runs f with net/http alone and with all parts.
func both(b *testing.B, name string, f func(b *testing.B, wired bool)) {
	b.Run(name+"/plain", func(b *testing.B) { f(b, false) })
	b.Run(name+"/wire", func(b *testing.B) { f(b, true) })
}

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
		name, proto   string
		clients, size int
	}{
		{"h2, 64 in flight", "h2", 64, 34},
		{"h2, 64 in flight, 10 KB", "h2", 64, 10 << 10},
		{"h2, 1 in flight", "h2", 1, 34},
		{"h1, 16 in flight", "h1", 16, 34},
		{"h1, 1 in flight", "h1", 1, 34},
	} {
		both(b, bench.name, func(b *testing.B, wired bool) {
			l := listen(b)
			start(b, l.Listener, answer(bench.size), wired)
			unary(b, clientOf(b, bench.proto), "http://"+l.Addr().String(), bench.clients)
		})
	}
	both(b, "h2, 64 in flight, counted", func(b *testing.B, wired bool) {
		l := listen(b)
		start(b, l, answer(34), wired)
		unary(b, clientOf(b, "h2"), "http://"+l.Addr().String(), 64)
		b.ReportMetric(float64(l.calls.Load())/float64(b.N), "syscalls/op")
	})
}

// BenchmarkStream is a server stream of 1000 messages, each flushed.
func BenchmarkStream(b *testing.B) {
	message := make([]byte, 39)
	for _, coalesced := range []bool{false, true} {
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			c := new(coalesce.Writer)
			w := rw
			if coalesced {
				c.Reset(rw)
				defer c.Abort()
				w = c
			}
			f := http.NewResponseController(w)
			for range 1000 {
				w.Write(message)
				f.Flush()
			}
			if coalesced {
				c.Finish()
			}
		})
		name := map[bool]string{false: "as it is", true: "coalesced"}[coalesced]
		both(b, name, func(b *testing.B, wired bool) {
			l := listen(b)
			start(b, l, h, wired)
			client := clientOf(b, "h2")
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get("http://" + l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != 39_000 {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
			b.ReportMetric(float64(l.calls.Load())/float64(b.N), "syscalls/op")
		})
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
