//go:build !only && unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

// restarted is what became of one framework's calls while its servers were replaced.
type restarted struct {
	member
	restarts int
	unary    tally
	streams  tally
	json     tally
	took     time.Duration // from SIGTERM to the end of a process, on average
	forced   int           // processes that had to be killed
}

// tally counts calls.
type tally struct {
	calls, failed atomic.Int64
	mu            sync.Mutex
	first         error
}

func (t *tally) note(err error) {
	t.calls.Add(1)
	if err == nil {
		return
	}
	t.failed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = err
	}
}

func (t *tally) String() string {
	if t.calls.Load() == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", t.failed.Load(), t.calls.Load())
}

const (
	membersUp   = 3
	restartTime = 25 * time.Second // for one framework; then it is restarted less often
	stopTime    = 12 * time.Second // of a process, then it is killed
	streamLen   = 40               // messages, of work each
)

// compareRestarts restarts the servers of each framework n times, one framework
// after the other.
func compareRestarts(n int, names string, failed *failures) (out []*restarted) {
	for _, m := range members {
		if names != "" && !strings.Contains(","+names+",", ","+m.name+",") {
			continue
		}
		r := &restarted{member: m}
		if err := r.run(n); err != nil {
			failed.add(m.name, "rolling restarts", err)
			continue
		}
		say("%s: %d restarts; failed: unary %s, streams %s, JSON %s", m.name, r.restarts, &r.unary, &r.streams, &r.json)
		out = append(out, r)
	}
	return out
}

func (r *restarted) run(n int) error {
	b, err := newBalancer(r.ready)
	if err != nil {
		return err
	}
	defer b.close()
	type running struct {
		*process
		*backend
	}
	var up [membersUp]running
	begin := func(i int) error {
		p, err := r.start()
		if err != nil {
			return err
		}
		be, ready := b.add(p.addr)
		up[i] = running{p, be}
		select {
		case <-ready:
			return nil
		case <-p.done:
			return fmt.Errorf("the process ended: %w", p.err)
		case <-time.After(stopTime):
			return errors.New("it is not ready")
		}
	}
	defer func() {
		for _, x := range up {
			if x.process != nil {
				_ = x.cmd.Process.Kill()
				<-x.done
			}
		}
	}()
	for i := range up {
		if err := begin(i); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	defer load.Wait()
	defer b.close() // what does not answer ends
	defer cancel()
	if err := r.load(ctx, &load, b.l.Addr().String()); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	if failed := r.unary.failed.Load() + r.streams.failed.Load() + r.json.failed.Load(); failed > 0 {
		return fmt.Errorf("%d calls fail without a restart: %w", failed, errors.Join(r.unary.first, r.streams.first, r.json.first))
	}
	began := time.Now()
	for r.restarts < n && time.Since(began) < restartTime {
		i := r.restarts % len(up)
		took, forced := up[i].stop()
		r.took += took
		if forced {
			r.forced++
		}
		b.remove(up[i].backend)
		if err := begin(i); err != nil {
			return err
		}
		r.restarts++
	}
	time.Sleep(500 * time.Millisecond)
	r.took /= time.Duration(max(r.restarts, 1))
	return nil
}

// load calls by eight gRPC clients, unary, by four with streams, and by eight with
// Connect's JSON over HTTP/1.1 where there is such a thing; each over connections of
// its own, until ctx ends. What ctx cuts is not counted.
func (r *restarted) load(ctx context.Context, running *sync.WaitGroup, addr string) error {
	loop := func(t *tally, call func() error, end func()) {
		running.Go(func() {
			defer end()
			for ctx.Err() == nil {
				err := call()
				if err != nil && ctx.Err() != nil {
					return
				}
				t.note(err)
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	for i := range 12 {
		conn, err := dialGRPC(addr)
		if err != nil {
			return err
		}
		w, t := &workload{method: "Echo", size: 30}, &r.unary
		if i >= 8 {
			w, t = &workload{method: "Count", size: 30, messages: streamLen}, &r.streams
		}
		loop(t, newGRPCCaller(conn, w).call, func() { _ = conn.Close() })
	}
	if r.ready != byHTTP {
		return nil
	}
	for range 8 {
		transport := new(http.Transport)
		loop(&r.json, jsonCall(&http.Client{Transport: transport, Timeout: stopTime}, addr), transport.CloseIdleConnections)
	}
	return nil
}

// jsonCall is a call of Connect by net/http's client, as a browser makes it.
func jsonCall(client *http.Client, addr string) func() error {
	text := strings.Repeat("x", 30)
	body, _ := protojson.Marshal(&benchv1.EchoRequest{Text: text})
	return func() error {
		res, err := client.Post("http://"+addr+service+"Echo", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		got := new(benchv1.EchoResponse)
		if res.StatusCode != http.StatusOK || protojson.Unmarshal(answer, got) != nil || got.GetText() != text {
			return fmt.Errorf("answered %s, %q", res.Status, answer)
		}
		return nil
	}
}

// process is a member's.
type process struct {
	cmd  *exec.Cmd
	addr string
	done chan struct{}
	err  error // once done is closed
}

func (r *restarted) start() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, "-member", r.name), done: make(chan struct{})}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	hung := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	hung.Stop()
	go func() {
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if p.addr = strings.TrimSpace(line); err != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		return nil, fmt.Errorf("it tells no address: %w", err)
	}
	return p, nil
}

// stop tells the process to, and returns how long it took and whether it had to be
// killed.
func (p *process) stop() (time.Duration, bool) {
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return time.Since(began), false
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill()
		<-p.done
		return time.Since(began), true
	}
}

func restartTable(all []*restarted) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes of each framework behind a balancer that obeys readiness; one after the other is told to stop (SIGTERM) and replaced. ", membersUp)
	fmt.Fprintf(&b, "Failed calls of all calls: gRPC unary (%v each) by 8 clients of grpc-go, streams of %d messages (%v each) by 4, and Connect JSON over HTTP/1.1 by 8 of net/http. Nobody calls again.\n\n", work, streamLen, work)
	b.WriteString("| server | what it does | restarts | unary failed | streams failed | JSON failed | a stop took | killed |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %.1f s | %d |\n", r.name, r.about, r.restarts, &r.unary, &r.streams, &r.json, r.took.Seconds(), r.forced)
	}
	for _, r := range all {
		if err := errors.Join(r.unary.first, r.streams.first, r.json.first); err != nil {
			fmt.Fprintf(&b, "\nThe first failures of %s: %s.\n", r.name, strings.ReplaceAll(clip(err.Error()), "\n", "; "))
		}
	}
	return b.String()
}

func clip(text string) string {
	if len(text) > 500 {
		return text[:500] + "…"
	}
	return text
}
