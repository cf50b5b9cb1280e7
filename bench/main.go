//go:build !only && unix

// Command bench compares servers in one run: connectum, Connect, grpc-go and
// others, each a process of its own, with the same service, the same messages and
// the same handlers.
//
//	go run .                                    # all of it, into ../docs
//	go run . -rounds 2 -calls 2000 -footprint=false -docs ""   # a minute
//	go run . -variants connect-v2,connectum -workloads unary-64,stream
//
// Rounds are interleaved: each calls every server in turn and begins with
// another. On Linux servers have a core to themselves. Every answer is checked.
// It prints tables, and writes them with charts into the documentation. It talks
// to the loopback alone and ends by itself.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

func main() {
	var (
		serve     = flag.String("serve", "", "be the server of this name; used by the program itself")
		rounds    = flag.Int("rounds", 7, "rounds of each workload")
		calls     = flag.Int("calls", 6000, "small unary calls in a round; other workloads make fewer")
		variants  = flag.String("variants", "", "servers to compare, with commas; the default is all")
		ways      = flag.String("workloads", "", "ways of calling, with commas; the default is all")
		footprint = flag.Bool("footprint", true, "measure sizes of binaries, starts and idle connections too")
		docs      = flag.String("docs", "", "directory of benchmarks.md, where tables and charts go; the default is ../docs when everything is measured, and nowhere else")
	)
	flag.Parse()
	log.SetFlags(0)
	if *serve != "" {
		if err := runServer(*serve); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *variants == "" && *ways == "" && *footprint && *docs == "" {
		*docs = "../docs"
	}
	if err := compare(*rounds, *calls, *variants, *ways, *footprint, *docs); err != nil {
		log.Fatal(err)
	}
}

func compare(rounds, calls int, variants, ways string, footprint bool, docs string) error {
	chosen, err := choose(variants, sorted(), func(c contender) string { return c.name })
	if err != nil {
		return err
	}
	work, err := choose(ways, workloads, func(w workload) string { return w.name })
	if err != nil {
		return err
	}
	b, err := newBench(chosen, rounds, calls)
	if err != nil {
		return err
	}
	defer b.close()
	r := &report{bench: b}
	if footprint { // first, while the servers are young
		if r.footprints, err = b.footprints(); err != nil {
			return err
		}
	}
	for i := range work {
		res, err := b.run(&work[i])
		if err != nil {
			return err
		}
		r.results = append(r.results, res)
	}
	fmt.Fprintln(os.Stderr)
	fmt.Print(r.text())
	if docs == "" {
		return nil
	}
	return r.write(docs)
}

// choose returns those of all that are named, or all.
func choose[T any](names string, all []T, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
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
