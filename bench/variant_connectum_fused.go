//go:build !only

package main

import (
	"context"
	"net"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
)

func init() {
	config := func() connectum.Config {
		tracer, meter := providers(0.01)
		return connectum.Config{Interceptors: []connectum.Interceptor{newFused(tracer, meter, nowhere())}}
	}
	c := contender{
		name: "connectum-fused", connect: true, experiment: true,
		about:     "an experiment: what connectum-all does, in one link of one frame.",
		serve:     func(l net.Listener) error { return serveConnectum(l, config()) },
		inProcess: func() (func() error, error) { return inProcessConnectum(config()) },
	}
	n := c
	n.name, n.inProcess = "connectum-native-fused", nil
	n.serve = func(l net.Listener) error {
		srv := newConnectum(config())
		grpcnative.Register(srv, grpcnative.Config{})
		return srv.Serve(context.Background(), l)
	}
	contenders = append(contenders, c, n)
}
