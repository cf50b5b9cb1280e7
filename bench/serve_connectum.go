//go:build !only || connectum || connectum_default || connectum_all || connectum_native

package main

import (
	"context"
	"net"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
)

// newConnectum returns a server of cfg with the service. It logs to the null
// device.
func newConnectum(cfg connectum.Config) *connectum.Server {
	cfg.Logger = nowhere()
	srv := connectum.New(cfg)
	benchv1connect.RegisterBenchServiceHandler(srv.RPC(), connectService{})
	return srv
}

func serveConnectum(l net.Listener, cfg connectum.Config) error {
	return newConnectum(cfg).Serve(context.Background(), l)
}

func inProcessConnectum(cfg connectum.Config) (func() error, error) {
	srv := newConnectum(cfg)
	return echoCall(srv.Transport()), srv.Check()
}
