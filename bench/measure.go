//go:build !only && unix

package main

import (
	"fmt"
	"os"
	"slices"
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
}

// bench holds the servers that are compared, all up at once.
type bench struct {
	servers []*server
	rounds  int
	calls   int
	pinned  *pinning
}

func newBench(names []contender, rounds, calls int) (*bench, error) {
	b := &bench{rounds: rounds, calls: calls, pinned: pin()}
	for _, c := range names {
		s, err := start(c, b.pinned)
		if err != nil {
			b.close()
			return nil, err
		}
		b.servers = append(b.servers, s)
	}
	return b, nil
}

func (b *bench) close() {
	for _, s := range b.servers {
		s.stop()
	}
}

// run measures one workload: a round that warms up, then those that count. Each
// round calls every server in turn, and begins with another.
func (b *bench) run(w *workload) (*result, error) {
	res := &result{workload: w, rounds: map[string][]sample{}}
	var servers []*server
	loads := map[string]*load{}
	for _, s := range b.servers {
		if !w.suits(s.contender) {
			continue
		}
		servers = append(servers, s)
		res.names = append(res.names, s.name)
		if w.method == "in-process" {
			if _, err := s.ask("prepare"); err != nil {
				return nil, err
			}
		}
	}
	defer func() {
		for _, l := range loads {
			l.close()
		}
	}()
	for round := range b.rounds + 1 {
		for k := range servers {
			s := servers[(k+round)%len(servers)]
			if loads[s.name] == nil && w.method != "in-process" { // now: a connection that sends nothing is soon closed
				l, err := w.dial(s.addr)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
				loads[s.name] = l
			}
			one, err := b.round(s, loads[s.name], w)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.name, w.title, err)
			}
			if round > 0 {
				res.rounds[s.name] = append(res.rounds[s.name], one)
			}
		}
		fmt.Fprint(os.Stderr, ".")
	}
	return res, nil
}

func (b *bench) round(s *server, l *load, w *workload) (sample, error) {
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
