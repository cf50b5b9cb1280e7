//go:build !only && unix

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/go-kratos/kratos/v2"
	klog "github.com/go-kratos/kratos/v2/log"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
	"github.com/connectum-go/connectum/grpcnative"
	connectumhealth "github.com/connectum-go/connectum/health"
)

// member is a program that is restarted under load, as its users write it: what it
// does on SIGTERM is its framework's.
type member struct {
	name  string
	about string
	ready readiness
	serve func() error
}

// readiness is how a member tells that it is ready.
type readiness int

const (
	byGRPC readiness = iota // gRPC's health
	byHTTP                  // GET /readyz; it speaks Connect over HTTP/1.1 besides gRPC
	byTCP                   // it takes connections: it has no health of its own
)

// drainDelay is for how long a member that can goes on taking connections when it
// has said that it is not ready: ten probes of the balancer.
const drainDelay = 500 * time.Millisecond

// work is what a call of a member takes, and each message of a stream.
const work = 8 * time.Millisecond

var members = []member{
	{"connectum", "`connectum.Main` and `health.Register`; `DrainDelay` 0.5 s.", byHTTP,
		func() error { return memberConnectum(false) }},
	{"connectum-native", "The same with `grpcnative.Register`.", byHTTP,
		func() error { return memberConnectum(true) }},
	{"connect-v2", "On SIGTERM readiness says no, 0.5 s pass, and `http.Server.Shutdown` is called.", byHTTP, memberConnect},
	{"grpc-go", "On SIGTERM health says NOT_SERVING, 0.5 s pass, and `GracefulStop` is called.", byGRPC, memberGRPC},
	{"kratos", "`kratos.New(...).Run()`: it handles SIGTERM, its health says NOT_SERVING, and it stops gracefully at once.", byGRPC, memberKratos},
}

// beforeMember is called in the process of a member.
var beforeMember = func(name string) {}

// runMember is the process of a member. It tells its address on standard output.
func runMember(name string) error {
	for _, m := range members {
		if m.name != name {
			continue
		}
		beforeMember(name)
		return m.serve()
	}
	return fmt.Errorf("no member %q", name)
}

// listen listens and tells where.
func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(l.Addr())
	}
	return l, err
}

func memberConnectum(native bool) error {
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Shutdown: connectum.Shutdown{DrainDelay: drainDelay}})
	benchv1connect.RegisterBenchServiceHandler(srv.RPC(), connectService{work})
	connectumhealth.Register(srv)
	if native {
		grpcnative.Register(srv, grpcnative.Config{})
	}
	srv.OnReady(func(_ context.Context, a net.Addr) { fmt.Println(a) })
	connectum.Main(srv)
	return nil
}

// told returns a context that ends with the first SIGTERM.
func told() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx
}

func memberConnect() error {
	l, err := listen()
	if err != nil {
		return err
	}
	rpc := connect.NewServer()
	benchv1connect.RegisterBenchServiceHandler(rpc, connectService{work})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, rpc)
	var stopping atomic.Bool
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if stopping.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	srv := httpServer(mux)
	ctx := told()
	go func() { fmt.Fprintln(os.Stderr, srv.Serve(l)) }()
	<-ctx.Done()
	stopping.Store(true)
	time.Sleep(drainDelay)
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(end)
}

func memberGRPC() error {
	l, err := listen()
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	registerGRPC(s, grpcService{work})
	h := health.NewServer()
	healthpb.RegisterHealthServer(s, h)
	ctx := told()
	go func() {
		<-ctx.Done()
		h.Shutdown()
		time.Sleep(drainDelay)
		s.GracefulStop()
	}()
	return s.Serve(l)
}

func memberKratos() error {
	l, err := listen()
	if err != nil {
		return err
	}
	klog.SetLogger(klog.NewStdLogger(io.Discard))
	s := kgrpc.NewServer(kgrpc.Listener(l))
	registerGRPC(s, grpcService{work})
	return kratos.New(kratos.Name("bench"), kratos.Server(s), kratos.Logger(klog.NewStdLogger(io.Discard))).Run()
}
