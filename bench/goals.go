//go:build !only && unix

package main

import (
	"fmt"
	"math"
	"time"
)

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
	{"the same, lines collected by both", "unary-64", native + buffered, "grpc-go-chain" + buffered, 0.65},
	{"everything on, default port, lines collected, against grpc-go's production chain that collects them", "unary-64", everything + buffered, "grpc-go-chain" + buffered, 1.3},
	{"Connect proto over HTTP/1.1, everything on, lines collected, against bare Connect v2", "proto-64", everything + buffered, "connect-v2", 1.35},
	{"Connect JSON over HTTP/1.1, everything on, lines collected, against bare Connect v2", "json-64", everything + buffered, "connect-v2", 1.35},
}

// The contenders that have everything on: the default chain, the access log and
// telemetry at 1 %. Their lines may be collected.
const (
	everything = "connectum-all"
	native     = "connectum-native-all"
	buffered   = "-buffered"
)

// figure is a promise that is a number, not a ratio.
type figure struct {
	text, workload, contender string
	against                   string // is taken off, "" for none
	of                        func(sample) float64
	most                      float64
}

func allocs(s sample) float64 { return s.allocs }

func micros(s sample) float64 { return s.cpu / 1e3 }

var figures = []figure{
	{"allocations of everything on, sampled, over bare Connect v2, proto over HTTP/1.1", "proto-64", everything + "-sampled", "connect-v2", allocs, 8},
	{"the same, 1 % sampled", "proto-64", everything, "connect-v2", allocs, 4},
	{"the same, telemetry and access log off", "proto-64", "connectum-default", "connect-v2", allocs, 1},
	{"reads and writes of a small gRPC call, no chain", "unary-64", "connectum", "", func(s sample) float64 { return s.syscalls }, 0.5},
	{"reads and writes of a small Connect call over HTTP/1.1, no chain", "proto-64", "connectum", "", func(s sample) float64 { return s.syscalls }, 2.5},
	{"in-process unary, bare, µs", "in-process", "connectum", "", micros, 1.5},
	{"in-process unary, bare, allocations", "in-process", "connectum", "", allocs, 12},
	{"in-process unary, everything on, µs", "in-process", everything, "", micros, 6},
	{"in-process unary, everything on, lines collected, µs", "in-process", everything + buffered, "", micros, 6},
	{"in-process unary, everything on, allocations", "in-process", everything, "", allocs, 16},
}

// goalTable tells of each goal what came of it, a row each.
func goalTable(results []*result, prints []footprint) string {
	out := ""
	row := func(text string, most, got, low, high float64) {
		mark := ""
		if math.Round(got*100) > math.Round(most*100) {
			mark = " (missed)"
		}
		out += fmt.Sprintf("| %s | %.2f | %.2f%s | %s |\n", text, most, got, mark, unless(low, "%.2f, ")+unless(high, "%.2f"))
	}
	for _, g := range goals {
		if r := measured(results, g.workload, g.contender, g.against); r != nil {
			low, high := r.spread(g.contender, g.against)
			row(g.text, g.most, r.ratio(g.contender, g.against), low, high)
		}
	}
	for _, f := range figures {
		if r := measured(results, f.workload, f.contender, f.against); r != nil {
			got := r.median(f.contender, f.of)
			if f.against != "" {
				got -= r.median(f.against, f.of)
			}
			row(f.text, f.most, got, 0, 0)
		}
	}
	for _, p := range prints {
		if p.name == everything || p.name == native {
			for _, f := range []struct {
				text      string
				most, got float64
			}{
				{"KiB of an idle HTTP/2 connection, " + p.name, 36, p.idle / (1 << 10)},
				{"ms from the start to the first call, " + p.name, 30, float64(p.start) / float64(time.Millisecond)},
				{"the same, built with -tags " + leastTags, 30, float64(p.soonest) / float64(time.Millisecond)},
				{"stripped binary, MiB, " + p.name, 24, float64(p.stripped) / (1 << 20)},
				{"the same, built with -tags " + leanTag, 24, float64(p.lean) / (1 << 20)},
				{"the same, built with -tags " + leastTags, 24, float64(p.least) / (1 << 20)},
			} {
				if f.got > 0 { // it could be measured
					row(f.text, f.most, f.got, 0, 0)
				}
			}
		}
	}
	return out
}

// measured returns the workload of that name if it has all of the contenders.
func measured(results []*result, workload string, names ...string) *result {
	for _, r := range results {
		if r.name == workload {
			for _, n := range names {
				if n != "" && len(r.rounds[n]) == 0 {
					return nil
				}
			}
			return r
		}
	}
	return nil
}
