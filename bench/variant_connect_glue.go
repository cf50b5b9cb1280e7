//go:build !only || connectglue

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/otelconnect"
	"connectrpc.com/validate"
)

func init() {
	for suffix, rate := range rates {
		c := contender{
			name: "connect-glue" + suffix, connect: true,
			about: fmt.Sprintf("Connect v2 on net/http with what its users put around it: otelconnect (SDK, %v %% sampled, exporters that drop), a line of slog to the null device, recovery by hand, connectrpc.com/validate. No limits, no deadlines.", rate*100),
			serve: func(l net.Listener) error {
				tracer, meter := providers(rate)
				telemetry, err := otelconnect.NewServerInterceptor(otelconnect.WithTracerProvider(tracer), otelconnect.WithMeterProvider(meter))
				if err != nil {
					return err
				}
				return serveConnect(l, telemetry, logCalls(nowhere()), recoverPanics, validate.NewServerInterceptor())
			},
		}
		if suffix == "" {
			c.tag = "connectglue"
		}
		contenders = append(contenders, c)
	}
}

// logCalls is how a user writes it.
func logCalls(log *slog.Logger) connect.ServerInterceptor {
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			began := time.Now()
			err := next(ctx, spec, stream)
			code := "ok"
			if err != nil {
				code = connect.CodeOf(err).String()
			}
			peer := ""
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				peer = info.PeerAddr
			}
			log.InfoContext(ctx, "call", "procedure", spec.Procedure, "code", code, "duration", time.Since(began), "peer", peer)
			return err
		}
	}
}

func recoverPanics(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = connect.NewError(connect.CodeInternal, "internal error")
			}
		}()
		return next(ctx, spec, stream)
	}
}
