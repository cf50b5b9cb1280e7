//go:build !only || connect2 || connectglue

package main

import (
	"net"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectinprocess"

	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
)

func init() {
	contenders = append(contenders, contender{
		name: "connect-v2", tag: "connect2", connect: true,
		about: "Connect v2 on net/http with nothing around it: no recovery, no limits, no deadlines.",
		serve: func(l net.Listener) error { return serveConnect(l) },
		inProcess: func() (func() error, error) {
			server := connect.NewServer()
			benchv1connect.RegisterBenchServiceHandler(server, connectService{})
			return echoCall(connectinprocess.New(server)), nil
		},
	})
}

// serveConnect serves Connect v2 on net/http.
func serveConnect(l net.Listener, interceptors ...connect.ServerInterceptor) error {
	server := connect.NewServer(interceptors...)
	benchv1connect.RegisterBenchServiceHandler(server, connectService{})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	return serveHTTP(l, mux)
}
