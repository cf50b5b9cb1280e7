//go:build !only || kratos

package main

import (
	"context"
	"io"
	"net"

	klog "github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"github.com/go-kratos/kratos/v2/middleware/tracing"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
)

func init() {
	contenders = append(contenders, contender{
		name:  "kratos",
		about: "kratos' gRPC server as it comes: health, reflection, its own unary and stream interceptors, a deadline of one second.",
		serve: func(l net.Listener) error { return serveKratos(l) },
	}, contender{
		name: "kratos-chain", tag: "kratos",
		about: "kratos' gRPC server with its own recovery, tracing (SDK, 1 % sampled, exporters that drop) and logging (its JSON-less standard logger, discarded). No validation by rules and no metrics: they are modules of their own.",
		serve: func(l net.Listener) error {
			tracer, _ := providers(0.01)
			return serveKratos(l, kgrpc.Middleware(recovery.Recovery(), tracing.Server(tracing.WithTracerProvider(tracer)),
				logging.Server(klog.NewStdLogger(io.Discard))))
		},
	})
}

func serveKratos(l net.Listener, options ...kgrpc.ServerOption) error {
	klog.SetLogger(klog.NewStdLogger(io.Discard))
	s := kgrpc.NewServer(append(options, kgrpc.Listener(l))...)
	registerGRPC(s, grpcService{})
	return s.Start(context.Background())
}
