//go:build !only || connectum_all || connectum_native

package main

import (
	"context"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/telemetry"
)

// telemetryLink is the framework's telemetry over the same providers as the
// others have.
func telemetryLink(rate float64) connectum.Interceptor {
	tracer, meter := providers(rate)
	tel, err := telemetry.Start(context.Background(), telemetry.Config{ServiceName: "bench", TracerProvider: tracer, MeterProvider: meter, Logs: telemetry.None})
	if err != nil {
		panic(err)
	}
	return tel.Server()
}
