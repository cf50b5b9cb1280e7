//go:build !only && unix

package main

import "fmt"

// goal is what the framework has promised itself, as a ratio of CPU within one
// run.
type goal struct {
	text      string
	workload  string
	contender string
	against   string
	most      float64
}

var goals = []goal{
	{"everything on, default port, unary small, against bare Connect v2", "unary-64", everything, "connect-v2", 0.75},
	{"the same, unary 10 KB", "10k-64", everything, "connect-v2", 1},
	{"everything on, default port, unary small, against grpc-go's production chain", "unary-64", everything, "grpc-go-chain", 1.3},
	{"server stream of 1,000, everything on, against bare Connect v2", "stream", everything, "connect-v2", 0.12},
	{"server stream of 1,000, everything on, against bare grpc-go", "stream", everything, "grpc-go", 1},
	{"Connect proto over HTTP/1.1, everything on, against bare Connect v2", "proto-64", everything, "connect-v2", 1.35},
	{"Connect JSON over HTTP/1.1, everything on, against bare Connect v2", "json-64", everything, "connect-v2", 1.35},
	{"Connect proto over HTTP/1.1, no chain, against bare Connect v2", "proto-64", "connectum", "connect-v2", 1.03},
	{"gRPC unary small, no chain, against bare Connect v2", "unary-64", "connectum", "connect-v2", 0.65},
	{"native door, everything on, unary small, against grpc-go's production chain", "unary-64", native, "grpc-go-chain", 0.65},
}

// The contenders that have everything on: the default chain, the access log and
// telemetry at 1 %.
const (
	everything = "connectum-all"
	native     = "connectum-native-all"
)

// table tells of each goal what came of it.
func goalTable(results []*result) string {
	out := "| goal | at most | got | rounds from, to |\n|---|---|---|---|\n"
	for _, g := range goals {
		for _, r := range results {
			if r.name != g.workload || len(r.rounds[g.contender]) == 0 || len(r.rounds[g.against]) == 0 {
				continue
			}
			ratio := r.ratio(g.contender, g.against)
			low, high := r.spread(g.contender, g.against)
			mark := ""
			if ratio > g.most {
				mark = " (missed)"
			}
			out += fmt.Sprintf("| %s | %.2f | %.2f%s | %.2f, %.2f |\n", g.text, g.most, ratio, mark, low, high)
		}
	}
	return out
}
