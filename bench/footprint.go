//go:build !only && unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// footprint is what a contender takes before anybody calls.
type footprint struct {
	name     string
	stripped int64         // bytes of a binary that holds it alone; 0: it has none of its own
	lean     int64         // the same without x/net/trace, see leanTag
	least    int64         // and without exporters of OTLP, see leastTags; 0: it has none
	start    time.Duration // from the start of the first to the answer of the first call
	soonest  time.Duration // the same of the least; 0: there is none
	idle     float64       // resident bytes of an idle HTTP/2 connection
}

const idleConns = 500

// leanTag leaves golang.org/x/net/trace out of grpc-go. Its pages are of
// html/template, with which the linker keeps every exported method of every type
// that is used. It is for the program to say, so the size is measured with it and
// without.
const leanTag = "grpcnotrace"

// leastTags leave the exporters of OTLP out too, which our telemetry links and no
// contender here uses: all of them bring providers that drop what they get.
const leastTags = leanTag + ",connectum_nootlp"

// binaries are those of contenders alone, by their tags.
type binaries struct {
	dir                string
	sizes, lean, least map[string]int64
}

func (b *binaries) file(tag string) string { return filepath.Join(b.dir, tag) }

func (b *binaries) remove() { _ = os.RemoveAll(b.dir) }

// buildAll builds them, while all cores may be used.
func buildAll(chosen []contender, failed *failures) (*binaries, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	out := &binaries{dir, map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for _, c := range chosen {
		if c.tag == "" {
			continue
		}
		say("building %s alone", c.name)
		if out.sizes[c.tag], err = build(c.tag, out.file(c.tag)); err != nil {
			failed.add(c.name, "its own binary", err)
		}
		if out.lean[c.tag], err = build(c.tag+","+leanTag, out.file(c.tag+"-lean")); err != nil {
			failed.add(c.name, "its own binary, with -tags "+leanTag, err)
		}
		if !c.otlp {
			continue
		}
		if out.least[c.tag], err = build(c.tag+","+leastTags, out.file(c.tag+"-least")); err != nil {
			failed.add(c.name, "its own binary, with -tags "+leastTags, err)
		}
	}
	return out, nil
}

// footprints measures all servers but those that are measured in some workloads alone.
func (b *bench) footprints(own *binaries) []footprint {
	servers := slices.DeleteFunc(slices.Clone(b.servers), func(s *server) bool { return s.ways != nil })
	out := make([]footprint, len(servers))
	say("idle connections")
	for i, s := range servers {
		out[i].name = s.name
		var err error
		if out[i].idle, err = s.idle(); err != nil {
			b.failed.add(s.name, "idle connections", err)
		}
		out[i].stripped, out[i].lean, out[i].least = own.sizes[s.tag], own.lean[s.tag], own.least[s.tag]
	}
	b.starts(servers, out, own)
	return out
}

// starts measures how long the binaries take to their first answer, one after
// the other in each round.
func (b *bench) starts(servers []*server, out []footprint, own *binaries) {
	type program struct {
		of   *footprint
		file string
		into *time.Duration
		took []float64
	}
	var programs []*program
	for i, s := range servers {
		if out[i].stripped > 0 {
			programs = append(programs, &program{of: &out[i], file: own.file(s.tag), into: &out[i].start})
		}
		if out[i].least > 0 {
			programs = append(programs, &program{of: &out[i], file: own.file(s.tag + "-least"), into: &out[i].soonest})
		}
	}
	say("starts")
	for round := range 2*b.rounds + 1 {
		for k := range programs {
			p := programs[(k+round)%len(programs)]
			if p.took == nil && round > 1 {
				continue // it has failed
			}
			took, err := b.firstCall(p.file)
			if err != nil {
				b.failed.add(p.of.name, "start", err)
				p.took = nil
				continue
			}
			if round > 0 {
				p.took = append(p.took, float64(took))
			}
		}
	}
	for _, p := range programs {
		*p.into = time.Duration(median(p.took))
	}
}

// build makes a binary of the contender with those tags alone, as it would be put
// into a container, and returns its size.
func build(tags, file string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-tags", "only,"+tags, "-o", file, ".")
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build %s: %w\n%s", tags, err, text)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// firstCall starts a binary, calls it until it answers, and ends it.
func (b *bench) firstCall(file string) (time.Duration, error) {
	cmd := exec.Command(file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.pinned.start(cmd.Start); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	defer time.AfterFunc(stuckAfter, func() { _ = cmd.Process.Kill() }).Stop()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, err
	}
	addr = strings.TrimSpace(addr)
	if err := await(addr); err != nil {
		return 0, err
	}
	conn, err := dialGRPC(addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := newGRPCCaller(conn, &workload{method: "Echo", size: 3}).call(); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// idle opens connections, makes a call on each, and returns the memory that each
// then takes.
func (s *server) idle() (float64, error) {
	defer time.AfterFunc(stuckAfter, s.kill).Stop()
	w := &workload{method: "Echo", size: 30}
	conns := make([]*grpc.ClientConn, idleConns)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	open := func(i int) error {
		var err error
		if conns[i], err = dialGRPC(s.addr); err != nil {
			return err
		}
		return newGRPCCaller(conns[i], w).call()
	}
	if err := open(0); err != nil {
		return 0, err
	}
	before, err := s.ask("settle")
	if err != nil {
		return 0, err
	}
	for i := 1; i < idleConns; i++ {
		if err := open(i); err != nil {
			return 0, err
		}
	}
	after, err := s.ask("settle")
	if err != nil {
		return 0, err
	}
	for i, c := range conns { // they are all still there
		if state := c.GetState(); state != connectivity.Ready {
			return 0, fmt.Errorf("connection %d is %v", i, state)
		}
	}
	return float64(int64(after.Resident)-int64(before.Resident)) / (idleConns - 1), nil
}
