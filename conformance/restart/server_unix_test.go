//go:build unix

package restart_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/clients"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/health"
)

// What a process tells about itself on standard output.
const readyPrefix = "listening on "

// The environment of a process.
const (
	certKey  = "CONNECTUM_TEST_CERT"
	keyKey   = "CONNECTUM_TEST_KEY"
	delayKey = "CONNECTUM_TEST_DRAIN_DELAY"
)

// servers are the programs a process may be.
var servers = map[string]func(){
	"connectum":       func() { serveConnectum(false) },
	"native":          func() { serveConnectum(true) },
	"shutdown":        func() { servePlain(0, false) },
	"readiness first": func() { servePlain(drainDelay(), true) },
	"no handler":      func() { servePlain(-1, false) },
}

func drainDelay() time.Duration {
	d, err := time.ParseDuration(os.Getenv(delayKey))
	if err != nil {
		panic(err)
	}
	return d
}

// serveConnectum is a service as one would write it, gRPC by the native engine
// or by net/http.
func serveConnectum(native bool) {
	srv := connectum.New(connectum.Config{
		Addr:      "127.0.0.1:0",
		AdminAddr: "127.0.0.1:0",
		TLS:       connectum.TLS{CertFile: os.Getenv(certKey), KeyFile: os.Getenv(keyKey)},
		Shutdown:  connectum.Shutdown{DrainDelay: drainDelay(), StreamGrace: 2 * time.Second},
		// Clients that a busy machine holds up are not the slow peers that
		// these limits are for.
		Limits: connectum.Limits{HandshakeTimeout: patience, HeaderTimeout: patience},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	clients.Service().Register(srv.RPC())
	health.Register(srv)
	if native {
		grpcnative.Register(srv, grpcnative.Config{})
	}
	srv.HandleSystem("GET /vitals", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "goroutines %d\nheap %d\n", runtime.NumGoroutine(), m.HeapAlloc)
		for sample := range srv.Metrics() {
			fmt.Fprintf(w, "%s %v\n", sample.Name, sample.Value)
		}
	}))
	srv.OnReady(func(_ context.Context, addr net.Addr) { fmt.Println(readyPrefix + addr.String()) })
	connectum.Main(srv)
}

// servePlain is the same service on Connect and net/http alone, and what is
// usually done on SIGTERM: nothing (delay below 0), http.Server.Shutdown at
// once (delay 0), or with readiness first and `Connection: close` on HTTP/1.1.
// All it lacks is the first of the two GOAWAY frames.
func servePlain(delay time.Duration, polite bool) {
	server := connect.NewServer()
	clients.Service().Register(server)
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	var stopping atomic.Bool
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if stopping.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if polite && stopping.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		mux.ServeHTTP(w, r)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(readyPrefix + l.Addr().String())
	ended := make(chan error, 1)
	go func() {
		if cert := os.Getenv(certKey); cert != "" {
			srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
			ended <- srv.ServeTLS(l, cert, os.Getenv(keyKey))
		} else {
			ended <- srv.Serve(l)
		}
	}()
	if delay < 0 {
		fmt.Fprintln(os.Stderr, <-ended)
		os.Exit(1) //nolint:forbidigo // a process of its own runs this
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	stopping.Store(true)
	<-time.After(delay)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // a process of its own runs this
	}
}
