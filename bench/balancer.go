//go:build !only && unix

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// balancer spreads connections over the members that say they are ready, as
// kube-proxy does: it knows nothing of what is inside, and a connection stays where
// it is.
type balancer struct {
	l     net.Listener
	ready readiness
	next  atomic.Uint64

	mu    sync.Mutex
	pool  []*backend
	conns map[net.Conn]bool // nil: closed
}

type backend struct {
	addr  string
	ready atomic.Bool
	gone  context.CancelFunc
}

const probeEvery = 50 * time.Millisecond

func newBalancer(ready readiness) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{l: l, ready: ready, conns: map[net.Conn]bool{}}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go b.carry(client)
		}
	}()
	return b, nil
}

func (b *balancer) close() {
	_ = b.l.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	for _, be := range b.pool {
		be.gone()
	}
}

// add begins to probe addr, and tells when it is ready.
func (b *balancer) add(addr string) (*backend, <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	be := &backend{addr: addr, gone: cancel}
	ready := make(chan struct{})
	b.mu.Lock()
	b.pool = append(b.pool, be)
	b.mu.Unlock()
	go b.probe(ctx, be, ready)
	return be, ready
}

// remove takes a member that has ended out of the pool.
func (b *balancer) remove(be *backend) {
	be.gone()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.pool {
		if other == be {
			b.pool = append(b.pool[:i:i], b.pool[i+1:]...)
		}
	}
}

func (b *balancer) probe(ctx context.Context, be *backend, ready chan struct{}) {
	var ask func(context.Context) bool
	switch b.ready {
	case byHTTP:
		ask = askHTTP(be.addr)
	case byTCP:
		ask = askTCP(be.addr)
	default:
		conn, err := dialGRPC(be.addr)
		if err != nil {
			return
		}
		defer conn.Close()
		ask = askGRPC(conn)
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for first := true; ; {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		ok := ask(once)
		cancel()
		if be.ready.Store(ok); ok && first {
			first = false
			close(ready)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func askHTTP(addr string) func(context.Context) bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return false
		}
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK
	}
}

func askGRPC(conn *grpc.ClientConn) func(context.Context) bool {
	client := healthpb.NewHealthClient(conn)
	return func(ctx context.Context) bool {
		res, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
		return err == nil && res.GetStatus() == healthpb.HealthCheckResponse_SERVING
	}
}

func askTCP(addr string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
}

// pick chooses by one atomic increment a connection.
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

// latency is that of the network between clients and the balancer, one way: things
// cross on the wire.
const latency = 3 * time.Millisecond

// carry joins a client to a member until both have finished. If there is none, or it
// refuses, the client sees its connection closed.
func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	be := b.pick()
	if be == nil {
		return
	}
	server, err := net.Dial("tcp", be.addr)
	if err != nil {
		return
	}
	defer server.Close()
	b.mu.Lock()
	if b.conns == nil {
		b.mu.Unlock()
		return
	}
	b.conns[client], b.conns[server] = true, true
	b.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { relay(server, client) })
	both.Go(func() { relay(client, server) })
	both.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, client)
	delete(b.conns, server)
}

// relay copies what src sends to dst, each byte a latency later.
func relay(dst, src net.Conn) {
	type packet struct {
		due  time.Time
		data []byte
	}
	wire := make(chan packet, 4096)
	go func() {
		defer close(wire)
		for {
			data := make([]byte, 8<<10)
			n, err := src.Read(data)
			if n > 0 {
				wire <- packet{time.Now().Add(latency), data[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range wire {
		time.Sleep(time.Until(p.due))
		if _, err := dst.Write(p.data); err != nil {
			_ = src.Close() // as a router does with what has no way to go
			for range wire {
			}
			return
		}
	}
	_ = dst.(*net.TCPConn).CloseWrite()
}
