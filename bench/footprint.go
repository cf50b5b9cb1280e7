//go:build !only && unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	start    time.Duration // from the start of that binary to the answer of the first call
	idle     float64       // resident bytes of an idle HTTP/2 connection
}

const idleConns = 500

// leanTag leaves golang.org/x/net/trace out of grpc-go. Its pages are of
// html/template, with which the linker keeps every exported method of every type
// that is used. It is for the program to say, so the size is measured with it and
// without.
const leanTag = "grpcnotrace"

// binaries are those of contenders alone, by their tags.
type binaries struct {
	dir         string
	sizes, lean map[string]int64
}

func (b *binaries) file(tag string) string { return filepath.Join(b.dir, tag) }

func (b *binaries) remove() { _ = os.RemoveAll(b.dir) }

// buildAll builds them, while all cores may be used.
func buildAll(chosen []contender, failed *failures) (*binaries, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	out := &binaries{dir, map[string]int64{}, map[string]int64{}}
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
	}
	return out, nil
}

// footprints measures all servers.
func (b *bench) footprints(own *binaries) []footprint {
	out := make([]footprint, len(b.servers))
	starts := make([][]float64, len(b.servers))
	say("idle connections")
	for i, s := range b.servers {
		out[i].name = s.name
		var err error
		if out[i].idle, err = s.idle(); err != nil {
			b.failed.add(s.name, "idle connections", err)
		}
		out[i].stripped, out[i].lean = own.sizes[s.tag], own.lean[s.tag]
	}
	say("starts")
	for round := range 2*b.rounds + 1 {
		for k := range b.servers {
			i := (k + round) % len(b.servers)
			if out[i].stripped == 0 || starts[i] == nil && round > 1 {
				continue
			}
			took, err := b.firstCall(own.file(b.servers[i].tag))
			if err != nil {
				b.failed.add(out[i].name, "start", err)
				starts[i] = nil
				continue
			}
			if round > 0 {
				starts[i] = append(starts[i], float64(took))
			}
		}
	}
	for i := range out {
		out[i].start = time.Duration(median(starts[i]))
	}
	return out
}

// build makes a binary of the contender with those tags alone, and returns its
// size. What it is built of is what the benchmark was, so that only its linking is
// new.
func build(tags, file string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-tags", "only,"+tags, "-o", file, ".")
	cmd.Env = append(os.Environ(), "GOWORK=off")
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
