//go:build !only || grpcchain

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"buf.build/go/protovalidate"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	pv "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/protovalidate"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
)

func init() {
	for suffix, rate := range rates {
		c := contender{
			name:  "grpc-go-chain" + suffix,
			about: fmt.Sprintf("grpc-go with its usual production chain: otelgrpc (SDK, %v %% sampled, exporters that drop), and of go-grpc-middleware logging (a line when a call ends, slog to the null device), recovery and protovalidate.", rate*100),
			serve: func(l net.Listener) error { return serveGRPCChain(l, rate, nowhere()) },
		}
		if suffix == "" {
			c.tag = "grpcchain"
		}
		contenders = append(contenders, c)
	}
}

func serveGRPCChain(l net.Listener, rate float64, to *slog.Logger) error {
	validator, err := protovalidate.New()
	if err != nil {
		return err
	}
	tracer, meter := providers(rate)
	log := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		to.Log(ctx, slog.Level(level), msg, fields...)
	})
	finish := logging.WithLogOnEvents(logging.FinishCall)
	s := grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(tracer), otelgrpc.WithMeterProvider(meter))),
		grpc.ChainUnaryInterceptor(logging.UnaryServerInterceptor(log, finish), recovery.UnaryServerInterceptor(), pv.UnaryServerInterceptor(validator)),
		grpc.ChainStreamInterceptor(logging.StreamServerInterceptor(log, finish), recovery.StreamServerInterceptor(), pv.StreamServerInterceptor(validator)),
	)
	registerGRPC(s, grpcService{})
	return s.Serve(l)
}
