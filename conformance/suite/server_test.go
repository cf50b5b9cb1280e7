package suite_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	conformancev1 "github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1"
	"github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1/conformancev1connect"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/reflection"
	"github.com/connectum-go/connectum/telemetry"
)

// An assembly makes the server that a run tests.
type assembly func(req *conformancev1.ServerCompatRequest, more ...connectum.Interceptor) (*connectum.Server, error)

// withoutTrailers is a mistake.
func withoutTrailers(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		err := next(ctx, spec, stream)
		info, _ := connect.CallInfoForServerContext(ctx)
		for name := range info.ResponseTrailer().All() {
			info.ResponseTrailer().Delete(name)
		}
		return err
	}
}

// watch makes what watches a server or a client: every signal is made, none
// leaves the process.
func watch() (*telemetry.Telemetry, error) {
	return telemetry.Start(context.Background(), telemetry.Config{
		ServiceName: "conformance", Traces: telemetry.Console, Metrics: telemetry.Console, Logs: telemetry.Console, Output: io.Discard,
	})
}

// assemble makes the server as a service would, with all that is on by default,
// telemetry and a log.
func assemble(req *conformancev1.ServerCompatRequest, more ...connectum.Interceptor) (*connectum.Server, error) {
	tel, err := watch()
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil)) // what the suite says is what counts
	chain := interceptor.Defaults(interceptor.Config{Telemetry: tel.Server(), Log: &interceptor.LogConfig{}, Logger: logger})
	srv := connectum.New(connectum.Config{
		Addr:         "127.0.0.1:0",
		AdminAddr:    "127.0.0.1:0",
		AllowGET:     true,
		Interceptors: append(chain, more...),
		TLS: connectum.TLS{
			CertPEM: req.GetServerCreds().GetCert(), KeyPEM: req.GetServerCreds().GetKey(), ClientCAPEM: req.GetClientTlsCert(),
		},
		Limits: connectum.Limits{
			// Zero, as the suite says when it sets no limit, means the default.
			MaxReceiveBytes: int(req.GetMessageReceiveLimit()),
			// The suite takes any deadline for one that the client has set.
			Timeout: -1,
			// Clients that a busy machine holds up are not the slow peers that
			// these limits are for.
			HandshakeTimeout: time.Minute, HeaderTimeout: time.Minute,
		},
		Shutdown: connectum.Shutdown{Timeout: 5 * time.Second},
		Logger:   logger,
	})
	conformancev1connect.RegisterConformanceServiceHandler(srv.RPC(), service{})
	health.Register(srv)
	reflection.Register(srv)
	tel.Register(srv)
	srv.OnShutdown("telemetry", tel.Shutdown)
	return srv, nil
}

// native is assemble with the native gRPC engine. It adds a byte to the file that
// callsKey names for each call that comes by it, however the process ends.
func native(req *conformancev1.ServerCompatRequest, more ...connectum.Interceptor) (*connectum.Server, error) {
	calls, err := os.OpenFile(os.Getenv(callsKey), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	srv, err := assemble(req, append(more, connectum.Wrap("count", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			if connectum.DoorOf(ctx) == grpcnative.DoorGRPC {
				if _, err := calls.Write([]byte{'.'}); err != nil {
					return err
				}
			}
			return next(ctx, spec, stream)
		}
	}))...)
	if err != nil {
		return nil, err
	}
	grpcnative.Register(srv, grpcnative.Config{})
	return srv, nil
}

// callsKey is the environment variable with the name of that file.
const callsKey = "CONNECTUM_NATIVE_CALLS"

// serve is a server as the suite wants it: configured by what it reads from in,
// it tells its address on out, and ends on SIGTERM.
func serve(in io.Reader, out io.Writer, assemble assembly, more ...connectum.Interceptor) error {
	req := new(conformancev1.ServerCompatRequest)
	if err := read(in, req); err != nil {
		return err
	}
	if !req.GetUseTls() {
		req.ServerCreds = nil
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	srv, err := assemble(req, more...)
	if err != nil {
		return err
	}
	var told error
	srv.OnReady(func(_ context.Context, addr net.Addr) {
		at := addr.(*net.TCPAddr)
		told = write(out, &conformancev1.ServerCompatResponse{
			Host: at.IP.String(), Port: uint32(at.Port), PemCert: req.GetServerCreds().GetCert(),
		})
		if told != nil {
			cancel()
		}
	})
	if err := srv.Run(ctx); err != nil {
		return err
	}
	return told
}
