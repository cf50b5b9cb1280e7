//go:build !only || connectum_default || connectum_all || connectum_native

package main

import (
	"log/slog"
	"net"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
)

// chained is connectum with the chain that make describes.
func chained(c contender, make func(*slog.Logger) interceptor.Config) contender {
	config := func() connectum.Config {
		return connectum.Config{Interceptors: interceptor.Defaults(make(nowhere()))}
	}
	c.connect = true
	c.serve = func(l net.Listener) error { return serveConnectum(l, config()) }
	c.inProcess = func() (func() error, error) { return inProcessConnectum(config()) }
	return c
}
