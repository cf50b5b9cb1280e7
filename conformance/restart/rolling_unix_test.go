//go:build unix

package restart_test

import (
	"context"
	"errors"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/clients"
)

var restarts = flag.Int("restarts", 20, "how often the rolling restart replaces a process, over each transport")

const (
	latency = 3 * time.Millisecond // one way, between clients and the balancer
	work    = 8 * time.Millisecond
	delay   = 2 * time.Second // probeEvery, and much room for a machine that is busy
	atOnce  = 2               // of the replicas are replaced together
)

// cluster is four processes behind a balancer.
type cluster struct {
	program
	*balancer
	replicas [2 * atOnce]replica
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

// roll replaces half of the processes, so that n are: they are told to stop
// together, and for each that has ended the next one is started and waited for.
func (c *cluster) roll(t testing.TB, n int) error {
	t.Helper()
	ended := make([]error, atOnce)
	var ending sync.WaitGroup
	half := c.replicas[n%len(c.replicas):][:atOnce]
	for i, old := range half {
		ending.Go(func() { ended[i] = old.stop() })
	}
	ending.Wait()
	for i, old := range half {
		c.remove(old.backend)
		x := c.start(t)
		half[i] = replica{x, c.add(t, x.addr)}
	}
	return errors.Join(ended...)
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
	transports(t, func(t *testing.T, secure bool) { loseNoCall(t, "connectum", secure) })
}

// So it is where gRPC is served by the native engine.
func TestRollingRestartsOfNativeServersLoseNoCall(t *testing.T) {
	t.Parallel()
	loseNoCall(t, "native", true)
}

func loseNoCall(t *testing.T, server string, secure bool) {
	t.Helper()
	c := newCluster(t, newProgram(t, server, delay, secure))
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
	for n := 0; n < *restarts; n += atOnce {
		if err := c.roll(t, n); err != nil {
			t.Errorf("restart %d: %v", n, err)
		}
	}
	took := time.Since(began)
	cancel()
	l.workers.Wait()
	l.report(t)
	t.Logf("%d restarts in %v: %d calls, %d failed, %d never left net/http's client; %d held streams ended as promised",
		*restarts, took, l.calls.Load(), l.failed.Load(), l.unsent.Load(), l.ended.Load())
	if n := l.unsent.Load(); n > 1+l.calls.Load()/20_000 {
		t.Errorf("%d calls never left net/http's client: that many is no accident", n)
	}
	if l.failed.Load() > 0 {
		t.Errorf("%d of %d calls failed; the balancer had nowhere to go with %d connections, and %d were refused",
			l.failed.Load(), l.calls.Load(), c.nowhere.Load(), c.refused.Load())
	}
	// Every held stream is on one of the processes, so as many restarts in a
	// row as there are processes end each at least once.
	if got, want := l.ended.Load(), int64(held*(*restarts/len(c.replicas))); got < want {
		t.Errorf("%d held streams ended, want at least %d: nothing was proven", got, want)
	}
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
				n += atOnce
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
