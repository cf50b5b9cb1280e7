//go:build unix

package restart_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/clients"
)

var restarts = flag.Int("restarts", 20, "how often the rolling restart replaces a process, over each transport")

const (
	latency = 3 * time.Millisecond // one way, between clients and the balancer
	work    = 8 * time.Millisecond
	delay   = 700 * time.Millisecond // probeEvery, and room for a machine that is busy
)

// cluster is two processes behind a balancer.
type cluster struct {
	program
	*balancer
	replicas [2]replica
}

type replica struct {
	*process
	*backend
}

func newCluster(t testing.TB, p program) *cluster {
	t.Helper()
	c := &cluster{program: p, balancer: newBalancer(t, latency, p.trust)}
	for i := range c.replicas {
		x := p.start(t)
		c.replicas[i] = replica{x, c.add(t, x.addr)}
	}
	return c
}

func (c *cluster) target() clients.Target {
	return clients.Target{Addr: c.l.Addr().String(), TLS: c.program.trust, Work: work}
}

// roll replaces one process: it is told to stop, and when it has ended the next
// one is started and waited for.
func (c *cluster) roll(t testing.TB, n int) error {
	t.Helper()
	old := c.replicas[n%len(c.replicas)]
	err := old.stop()
	c.remove(old.backend)
	x := c.start(t)
	c.replicas[n%len(c.replicas)] = replica{x, c.add(t, x.addr)}
	return err
}

func transports(t *testing.T, f func(t *testing.T, secure bool)) {
	t.Helper()
	for name, secure := range map[string]bool{"plaintext": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, secure)
		})
	}
}

// No call is lost while every process is replaced again and again, streams that
// go on end as promised, and each stop is a clean one.
func TestRollingRestartsLoseNoCall(t *testing.T) {
	t.Parallel()
	rollWithoutLoss(t, "connectum")
}

// Nor with the native engine.
func TestRollingRestartsOfTheNativeEngineLoseNoCall(t *testing.T) {
	t.Parallel()
	rollWithoutLoss(t, "connectum native")
}

func rollWithoutLoss(t *testing.T, name string) {
	t.Helper()
	transports(t, func(t *testing.T, secure bool) {
		c := newCluster(t, newProgram(t, name, delay, secure))
		l := newLoad()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		held := 0
		for _, client := range open(t, c.target()) {
			l.run(ctx, client, 20*time.Millisecond)
			if client.Hold != nil {
				l.hold(ctx, client, clients.Heeds)
				l.hold(ctx, client, clients.Deaf)
				held += 2
			}
		}
		l.await(t)
		began := time.Now()
		for n := range *restarts {
			if err := c.roll(t, n); err != nil {
				t.Errorf("restart %d: %v", n, err)
			}
		}
		took := time.Since(began)
		cancel()
		l.workers.Wait()
		l.report(t)
		t.Logf("%d restarts in %v: %d calls, %d failed; %d held streams ended as promised",
			*restarts, took, l.calls.Load(), l.failed.Load(), l.ended.Load())
		if l.failed.Load() > 0 {
			t.Errorf("%d of %d calls failed", l.failed.Load(), l.calls.Load())
		}
		// Every held stream is on one of the two processes, so two restarts in
		// a row end each at least once.
		if got, want := l.ended.Load(), int64(held**restarts/2); got < want {
			t.Errorf("%d held streams ended, want at least %d: nothing was proven", got, want)
		}
	})
}

// The controls: what is usually done loses calls under the same load, or the
// test above proves nothing. Each goes on until it has.
func TestRollingRestartsAsUsualLoseCalls(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct{ program, why string }{
		"no handler of SIGTERM":       {"no handler", "what is in flight is cut"},
		"Shutdown at once":            {"shutdown", "connections are refused before the balancer knows"},
		"readiness first, one GOAWAY": {"readiness first", "streams cross the GOAWAY that names the last one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, newProgram(t, of.program, delay, false))
			l := newLoad()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, client := range open(t, c.target()) {
				l.run(ctx, client, 20*time.Millisecond)
			}
			l.await(t)
			n := 0
			for l.failed.Load() == 0 && n < 20 {
				_ = c.roll(t, n) // without a handler the exit is an error
				n++
			}
			cancel()
			l.workers.Wait()
			l.report(t)
			t.Logf("%d restarts: %d of %d calls failed; %s", n, l.failed.Load(), l.calls.Load(), of.why)
			if l.failed.Load() == 0 {
				t.Error("no call failed: the load is too weak to prove anything")
			}
		})
	}
}
