//go:build !only && unix

// Command bench compares servers in one run: connectum, Connect, grpc-go and
// others, each a process of its own, with the same service, the same messages and
// the same handlers.
//
//	GOWORK=off go run .                                    # all of it, into ../docs
//	GOWORK=off go run . -rounds 2 -calls 2000 -footprint=false -restarts 0   # a minute
//	GOWORK=off go run . -variants connect-v2,connectum -workloads unary-64,stream
//	GOWORK=off go run . -workloads none -footprint=false                    # restarts alone
//	GOWORK=off BENCH_PROFILE=/tmp go run . -restarts 0 -footprint=false -variants connectum -workloads unary-64   # connectum.pprof
//
// Rounds are interleaved: each calls every server in turn and begins with
// another. On Linux servers have a core to themselves. Every answer is checked. A
// contender that fails is left out and named in the report. It prints tables, and
// writes them with charts into the documentation. It talks to the loopback alone
// and ends by itself.
package main

import (
	"flag"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"
)

func main() {
	var o options
	serve := flag.String("serve", "", "be the server of this name; used by the program itself")
	member := flag.String("member", "", "be a server of this name that is restarted; used by the program itself")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of each workload, at most")
	flag.IntVar(&o.calls, "calls", 6000, "small unary calls in a round; other workloads make fewer")
	flag.DurationVar(&o.most, "most", 10*time.Minute, "time for all of it, building aside: rounds are left out for it")
	flag.StringVar(&o.variants, "variants", "", "servers to compare, with commas; the default is all")
	flag.StringVar(&o.ways, "workloads", "", "ways of calling, with commas, or none; the default is all")
	flag.BoolVar(&o.footprint, "footprint", true, "measure sizes of binaries, starts and idle connections too")
	flag.IntVar(&o.restarts, "restarts", 8, "how often servers are restarted under load, of each framework; 0 leaves it out")
	flag.StringVar(&o.docs, "docs", "", "directory of benchmarks.md, where tables and charts go; the default is ../docs when everything is measured, and nowhere else")
	flag.Parse()
	log.SetFlags(0)
	var err error
	switch {
	case *serve != "":
		err = runServer(*serve)
	case *member != "":
		err = runMember(*member)
	default:
		err = compare(o)
	}
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	rounds, calls, restarts int
	most                    time.Duration
	variants, ways, docs    string
	footprint               bool
}

func compare(o options) error {
	all := sorted()
	if o.variants == "" {
		all = slices.DeleteFunc(all, func(c contender) bool { return c.experiment })
	}
	chosen, err := choose(o.variants, all, func(c contender) string { return c.name })
	if err != nil {
		return err
	}
	work, err := choose(o.ways, workloads, func(w workload) string { return w.name })
	if err != nil {
		return err
	}
	if o.variants == "" && o.ways == "" && o.footprint && o.restarts > 0 && o.docs == "" {
		o.docs = "../docs"
	}
	r := &report{failed: new(failures)}
	own := new(binaries)
	if o.footprint {
		if own, err = buildAll(chosen, r.failed); err != nil {
			return err
		}
		defer own.remove()
	}
	until := time.Now().Add(o.most)
	if o.restarts > 0 { // before the load is pinned to its cores: it has many processes
		r.restarts = compareRestarts(o.restarts, o.variants, r.failed)
	}
	b := newBench(chosen, o.rounds, o.calls, r.failed)
	r.bench = b
	defer b.close()
	if o.footprint { // first, while the servers are young
		r.footprints = b.footprints(own)
	}
	for i := range work {
		r.results = append(r.results, b.run(&work[i], time.Until(until)/time.Duration(len(work)-i)))
	}
	fmt.Print(r.text())
	if o.docs == "" {
		return nil
	}
	return r.write(o.docs)
}

// choose returns those of all that are named, or all.
func choose[T any](names string, all []T, name func(T) string) ([]T, error) {
	switch names {
	case "":
		return all, nil
	case "none":
		return nil, nil
	}
	var out []T
	for n := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			var known []string
			for _, t := range all {
				known = append(known, name(t))
			}
			return nil, fmt.Errorf("no %q; there are %s", n, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
