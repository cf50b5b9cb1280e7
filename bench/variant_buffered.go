//go:build !only

package main

import (
	"io"
	"log/slog"
	"net"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
)

// Those that write a line for each call, once more with their lines collected, by
// the same writer in the same way. Only there and only where the line shows are they
// measured.
func init() {
	const how = "its lines collected by zap's BufferedWriteSyncer (16 KiB, 100 ms) instead of a write each."
	grpc := []string{"unary-64"} // the others are those of connectum-all-buffered, or none
	config := func() interceptor.Config { return everythingOn(0.01, collected()) }
	contenders = append(contenders,
		contender{
			name: "grpc-go-chain-buffered", ways: grpc,
			about: "grpc-go-chain (1 % sampled), " + how,
			serve: func(l net.Listener) error { return serveGRPCChain(l, 0.01, collected()) },
		},
		chained(contender{
			name: "connectum-all-buffered", ways: []string{"unary-64", "proto-64", "json-64", "in-process"},
			about: "connectum-all (1 % sampled), " + how,
		}, func(*slog.Logger) interceptor.Config { return config() }),
		throughNative(contender{
			name: "connectum-native-all-buffered", ways: grpc,
			about: "connectum-native-all (1 % sampled), " + how,
		}, func() connectum.Config { return connectum.Config{Interceptors: interceptor.Defaults(config())} }))
}

// collected is nowhere, as docs/logs.md has it for high rates.
func collected() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&zapcore.BufferedWriteSyncer{
		WS: zapcore.AddSync(struct{ io.Writer }{null()}), Size: 16 << 10, FlushInterval: 100 * time.Millisecond,
	}, nil))
}
