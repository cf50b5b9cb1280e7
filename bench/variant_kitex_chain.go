//go:build (!only && !light) || kitexchain

package main

import (
	"net"

	kserver "github.com/cloudwego/kitex/server"
	"github.com/kitex-contrib/obs-opentelemetry/tracing"
	"go.opentelemetry.io/otel"
)

func init() {
	contenders = append(contenders, contender{
		name: "kitex-chain", tag: "kitexchain",
		about: "kitex with its usual telemetry, the suite of kitex-contrib/obs-opentelemetry (SDK, 1 % sampled, exporters that drop), which measures sampled calls alone. It has no access log and no validation.",
		serve: func(l net.Listener) error {
			tracer, meter := providers(0.01)
			otel.SetTracerProvider(tracer) // it takes no other
			otel.SetMeterProvider(meter)
			return serveKitex(l, &kitexService{}, kserver.WithSuite(tracing.NewServerSuite()))
		},
	})
}
