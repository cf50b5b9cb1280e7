//go:build (!only && !light) || kitex

package main

import "net"

func init() {
	contenders = append(contenders, contender{
		name: "kitex", tag: "kitex",
		about: "kitex' server as it comes, on netpoll: recovery, statistics, detection of its own protocols besides gRPC; its log is discarded, and a middleware turns compression off, as it else fails the calls of clients that offer gzip. Its messages are those of its generator (prutal), not protobuf-go's.",
		serve: func(l net.Listener) error { return serveKitex(l, &kitexService{}) },
	})
}
