//go:build !only && unix

package main

import (
	"slices"
	"strings"
)

// workload is a way of calling.
type workload struct {
	name, title string
	method      string // Echo, Count or Chat
	http1       string // "proto" or "json": Connect over HTTP/1.1; else gRPC
	gzip        bool   // gRPC that offers it
	size        int    // of the text, in bytes
	inFlight    int
	conns       int
	messages    int     // of a stream
	share       float64 // of the calls of a round that it makes
}

var workloads = []workload{
	{name: "unary-64", title: "gRPC unary 30 B, 64 in flight", method: "Echo", size: 30, inFlight: 64, conns: 4, share: 1},
	{name: "unary-gzip", title: "gRPC unary 30 B, 64 in flight, of clients that offer gzip", method: "Echo", gzip: true, size: 30, inFlight: 64, conns: 4, share: 0.5},
	{name: "unary-1", title: "gRPC unary 30 B, 1 in flight", method: "Echo", size: 30, inFlight: 1, conns: 1, share: 0.3},
	{name: "10k-64", title: "gRPC unary 10 KB, 64 in flight", method: "Echo", size: 10_000, inFlight: 64, conns: 4, share: 0.6},
	{name: "stream", title: "gRPC server stream of 1,000 × 30 B, 4 in flight", method: "Count", size: 30, inFlight: 4, conns: 4, messages: 1000, share: 0.008},
	{name: "bidi", title: "gRPC bidi, 100 × ping-pong of 30 B, 16 in flight", method: "Chat", size: 30, inFlight: 16, conns: 4, messages: 100, share: 0.016},
	{name: "proto-64", title: "Connect proto, HTTP/1.1, 30 B, 64 in flight", method: "Echo", http1: "proto", size: 30, inFlight: 64, conns: 64, share: 1},
	{name: "proto-1", title: "Connect proto, HTTP/1.1, 30 B, 1 in flight", method: "Echo", http1: "proto", size: 30, inFlight: 1, conns: 1, share: 0.5},
	{name: "json-64", title: "Connect JSON, HTTP/1.1, 30 B, 64 in flight", method: "Echo", http1: "json", size: 30, inFlight: 64, conns: 64, share: 1},
	{name: "json-1", title: "Connect JSON, HTTP/1.1, 30 B, 1 in flight", method: "Echo", http1: "json", size: 30, inFlight: 1, conns: 1, share: 0.5},
	{name: "in-process", title: "in-process unary, client included", method: "in-process", share: 20},
}

func (w *workload) text() string { return strings.Repeat("x", w.size) }

// calls is how many calls w makes in a round of n.
func (w *workload) calls(n int) int { return max(int(float64(n)*w.share), w.inFlight, 1) }

// suits reports whether c can be called so, and is to be.
func (w *workload) suits(c contender) bool {
	if c.ways != nil && !slices.Contains(c.ways, w.name) {
		return false
	}
	if w.method == "in-process" {
		return c.inProcess != nil
	}
	return w.http1 == "" || c.connect
}
