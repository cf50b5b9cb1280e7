package main

import (
	"net"
	"slices"
)

// contender is one server, and what there is around the same three handlers.
type contender struct {
	name  string
	about string

	// connect tells that it speaks Connect over HTTP/1.1 besides gRPC.
	connect bool

	// tag builds a binary that holds this contender alone, with
	// `go build -tags only,TAG`; "" for one that differs from another by its
	// settings.
	tag string

	// ways are the workloads that it is measured in, and nothing else of it is; nil
	// for all there is.
	ways []string

	// otlp tells that the binary has exporters to a collector, which this
	// contender does not use: it has a tag to leave them out.
	otlp bool

	// experiment tells that it is no contender: it runs when it is asked for.
	experiment bool

	// serve serves gRPC over plaintext on l, and Connect where it can. It
	// returns when l breaks.
	serve func(l net.Listener) error

	// inProcess returns a unary call without a socket; nil where there is no
	// such way.
	inProcess func() (func() error, error)
}

// contenders is filled by the files of the contenders, so that the build tag
// "only" can leave all others out.
var contenders []contender

// order is that of the tables. Contenders that are not in it come last.
var order = []string{
	"connect-v2", "connect-v1", "connect-glue", "connect-glue-sampled",
	"grpc-go", "grpc-go-chain", "grpc-go-chain-sampled", "grpc-go-chain-buffered",
	"kratos", "kratos-chain", "go-zero", "kitex", "kitex-chain",
	"connectum", "connectum-default", "connectum-log", "connectum-all", "connectum-all-sampled",
	"connectum-all-buffered", "connectum-native", "connectum-native-all", "connectum-native-all-buffered",
}

func sorted() []contender {
	out := slices.Clone(contenders)
	slices.SortStableFunc(out, func(a, b contender) int { return place(a.name) - place(b.name) })
	return out
}

func place(name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}
