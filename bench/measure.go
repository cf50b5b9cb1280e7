//go:build !only && unix

package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is one round of one contender, by call.
type sample struct {
	cpu      float64 // nanoseconds
	allocs   float64
	bytes    float64
	syscalls float64
	timing
}

// result is what a workload gave: the rounds of each contender that it suits.
type result struct {
	*workload
	names  []string
	rounds map[string][]sample
	made   int // rounds that count
}

// bench holds the servers that are compared, all up at once.
type bench struct {
	servers []*server
	rounds  int
	calls   int
	pinned  *pinning
	failed  *failures
}

// newBench starts the servers of names. One that does not start is left out.
func newBench(names []contender, rounds, calls int, failed *failures) *bench {
	b := &bench{rounds: rounds, calls: calls, pinned: pin(), failed: failed}
	say("starting %d servers; %s", len(names), b.pinned)
	for _, c := range names {
		s, err := start(c, b.pinned)
		if err != nil {
			failed.add(c.name, "start", err)
			continue
		}
		b.servers = append(b.servers, s)
	}
	return b
}

func (b *bench) close() {
	for _, s := range b.servers {
		s.stop()
	}
}

// run measures one workload: a round that warms up, then those that count, fewer
// when the time is over. Each round calls every server in turn, and begins with
// another. A server that fails has no further part in the workload.
func (b *bench) run(w *workload, most time.Duration) *result {
	res := &result{workload: w, rounds: map[string][]sample{}}
	var servers []*server
	loads := map[string]*load{}
	out := map[string]bool{}
	fail := func(s *server, err error) {
		out[s.name] = true
		delete(res.rounds, s.name)
		res.names = slices.DeleteFunc(res.names, func(n string) bool { return n == s.name })
		b.failed.add(s.name, w.title, err)
	}
	for _, s := range b.servers {
		if !w.suits(s.contender) {
			continue
		}
		servers = append(servers, s)
		res.names = append(res.names, s.name)
		if w.method == "in-process" {
			if _, err := s.ask("prepare"); err != nil {
				fail(s, err)
			}
		}
	}
	defer func() {
		for _, l := range loads {
			l.close()
		}
	}()
	began := time.Now()
	for round := range b.rounds + 1 {
		if took := time.Since(began); round > 1 && took+took/time.Duration(round) > most {
			break
		}
		for k := range servers {
			s := servers[(k+round)%len(servers)]
			if out[s.name] {
				continue
			}
			if loads[s.name] == nil && w.method != "in-process" { // now: a connection that sends nothing is soon closed
				l, err := w.dial(s.addr)
				if err != nil {
					fail(s, err)
					continue
				}
				loads[s.name] = l
			}
			one, err := b.round(s, loads[s.name], w)
			if err != nil {
				fail(s, err)
			} else if round > 0 {
				res.rounds[s.name] = append(res.rounds[s.name], one)
			}
		}
		if round > 0 {
			res.made = round
		}
	}
	say("%s: %d rounds in %.0fs", w.title, res.made, time.Since(began).Seconds())
	return res
}

func (b *bench) round(s *server, l *load, w *workload) (sample, error) {
	defer time.AfterFunc(stuckAfter, s.kill).Stop()
	n := w.calls(b.calls)
	before, err := s.ask("begin")
	if err != nil {
		return sample{}, err
	}
	var t timing
	command := "end"
	if l == nil {
		command = fmt.Sprintf("inprocess %d", n)
	} else if t, err = l.run(n); err != nil {
		return sample{}, err
	}
	after, err := s.ask(command)
	if err != nil {
		return sample{}, err
	}
	u, calls := after.since(before), float64(n)
	return sample{float64(u.CPU.Nanoseconds()) / calls, float64(u.Allocs) / calls, float64(u.Bytes) / calls, float64(u.Syscalls) / calls, t}, nil
}

// median of one figure over the rounds of a contender.
func (r *result) median(name string, figure func(sample) float64) float64 {
	var all []float64
	for _, s := range r.rounds[name] {
		all = append(all, figure(s))
	}
	return median(all)
}

func cpu(s sample) float64 { return s.cpu }

// ratio is the median over the rounds of what name took to what base took in the
// same round; 0 when one of them was not measured.
func (r *result) ratio(name, base string) float64 {
	var all []float64
	for i, s := range r.rounds[name] {
		if rounds := r.rounds[base]; i < len(rounds) && rounds[i].cpu > 0 {
			all = append(all, s.cpu/rounds[i].cpu)
		}
	}
	return median(all)
}

// spread is the ratio in the best and in the worst round.
func (r *result) spread(name, base string) (low, high float64) {
	for i, s := range r.rounds[name] {
		if rounds := r.rounds[base]; i < len(rounds) && rounds[i].cpu > 0 {
			ratio := s.cpu / rounds[i].cpu
			if low == 0 || ratio < low {
				low = ratio
			}
			high = max(high, ratio)
		}
	}
	return low, high
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
