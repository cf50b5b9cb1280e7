//go:build !only || connectum_native

package main

import (
	"context"
	"net"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/interceptor"
)

func init() {
	contenders = append(contenders,
		throughNative(contender{
			name:  "connectum-native",
			about: "connectum.Config{} with grpcnative: gRPC connections of the same port are served by grpc-go's transport; no chain.",
		}, func() connectum.Config { return connectum.Config{} }),
		throughNative(contender{
			name: "connectum-native-all", tag: "connectum_native", otlp: true,
			about: "connectum-all (1 % sampled) with grpcnative.",
		}, func() connectum.Config {
			return connectum.Config{Interceptors: interceptor.Defaults(interceptor.Config{
				Telemetry: telemetryLink(0.01), Log: &interceptor.LogConfig{Logger: nowhere()}})}
		}))
}

// throughNative is connectum with the native door.
func throughNative(c contender, config func() connectum.Config) contender {
	c.connect = true
	c.serve = func(l net.Listener) error {
		srv := newConnectum(config())
		grpcnative.Register(srv, grpcnative.Config{})
		return srv.Serve(context.Background(), l)
	}
	return c
}
