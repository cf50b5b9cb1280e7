//go:build unix

package restart_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer spreads connections over the processes that say they are ready, as
// kube-proxy does: it knows nothing of what is inside, and a connection stays
// where it is. The network between it and the clients takes time, so that
// things cross on the wire.
type balancer struct {
	l       net.Listener
	latency time.Duration
	trust   *tls.Config
	ctx     context.Context
	cancel  context.CancelFunc
	next    atomic.Uint64
	nowhere atomic.Int64 // connections for which no process was ready
	refused atomic.Int64 // connections that a process refused which was
	running sync.WaitGroup

	mu    sync.Mutex
	pool  []*backend
	conns map[net.Conn]bool
}

type backend struct {
	addr    string
	ready   atomic.Bool
	removed chan struct{}
}

// probeEvery is how often a process is asked whether it is ready. One answer
// decides, and one that is late is none: all are on a machine that may be busy.
const (
	probeEvery = 50 * time.Millisecond
	probeWait  = 10 * time.Second
)

func newBalancer(t testing.TB, latency time.Duration, trust *tls.Config) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{l: l, latency: latency, trust: trust, conns: map[net.Conn]bool{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.running.Go(b.accept)
	t.Cleanup(func() {
		b.cancel()
		_ = l.Close()
		b.mu.Lock()
		for c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.running.Wait()
	})
	return b
}

// add begins to probe addr, and returns when it is ready.
func (b *balancer) add(t testing.TB, addr string) *backend {
	t.Helper()
	be := &backend{addr: addr, removed: make(chan struct{})}
	ready := make(chan struct{})
	b.running.Go(func() { b.probe(be, ready) })
	b.mu.Lock()
	b.pool = append(b.pool, be)
	b.mu.Unlock()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("%s is not ready", addr)
	}
	return be
}

// remove takes a process that has ended out of the pool.
func (b *balancer) remove(be *backend) {
	close(be.removed)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.pool {
		if other == be {
			b.pool = append(b.pool[:i:i], b.pool[i+1:]...)
		}
	}
}

func (b *balancer) probe(be *backend, ready chan struct{}) {
	scheme := "http"
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if b.trust != nil {
		scheme, transport.TLSClientConfig = "https", b.trust.Clone()
	}
	client := &http.Client{Transport: transport, Timeout: probeWait}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var once sync.Once
	for {
		res, err := client.Get(scheme + "://" + be.addr + "/readyz")
		ok := err == nil && res.StatusCode == http.StatusOK
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		if be.ready.Store(ok); ok {
			once.Do(func() { close(ready) })
		}
		select {
		case <-tick.C:
		case <-be.removed:
			return
		case <-b.ctx.Done():
			return
		}
	}
}

// pick chooses by one atomic increment a connection: anything else favours some
// replica and invents failures.
func (b *balancer) pick() *backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ready []*backend
	for _, be := range b.pool {
		if be.ready.Load() {
			ready = append(ready, be)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	return ready[b.next.Add(1)%uint64(len(ready))]
}

func (b *balancer) accept() {
	for {
		client, err := b.l.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.carry(client) })
	}
}

// carry joins a client to a process until both have finished. If there is none,
// or it refuses, the client sees its connection closed.
func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	be := b.pick()
	if be == nil {
		b.nowhere.Add(1)
		return
	}
	server, err := new(net.Dialer).DialContext(b.ctx, "tcp", be.addr)
	if err != nil {
		b.refused.Add(1)
		return
	}
	defer server.Close()
	b.track(client, server, true)
	defer b.track(client, server, false)
	var both sync.WaitGroup
	both.Go(func() { b.relay(server, client) })
	both.Go(func() { b.relay(client, server) })
	both.Wait()
}

func (b *balancer) track(client, server net.Conn, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range []net.Conn{client, server} {
		if open {
			b.conns[c] = true
		} else {
			delete(b.conns, c)
		}
	}
	if open && b.ctx.Err() != nil { // the end came in between
		_ = client.Close()
		_ = server.Close()
	}
}

// relay copies what src sends to dst, each byte a latency later.
func (b *balancer) relay(dst, src net.Conn) {
	type packet struct {
		due  time.Time
		data []byte
	}
	wire := make(chan packet, 4096)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() {
		defer close(wire)
		for {
			data := make([]byte, 16<<10)
			n, err := src.Read(data)
			if n > 0 {
				wire <- packet{time.Now().Add(b.latency), data[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range wire {
		if d := time.Until(p.due); d > 0 {
			<-time.After(d)
		}
		if _, err := dst.Write(p.data); err != nil {
			_ = src.Close() // as a router does with what has no way to go
			for range wire {
			}
			return
		}
	}
	_ = dst.(interface{ CloseWrite() error }).CloseWrite()
}
