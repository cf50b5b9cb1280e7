package grpcnative

import (
	"net"
	"sync"
	"time"
)

// peers remembers hosts whose connections carry what only net/http can serve,
// as those of a proxy that multiplexes may: theirs are net/http's from then on.
type peers struct {
	mu    sync.Mutex
	hosts map[string]time.Time // when it was seen
}

const (
	peersKept = time.Hour
	peersMost = 1000
)

func (p *peers) has(a net.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.hosts[host(a)]
	return ok && time.Since(at) < peersKept
}

func (p *peers) add(a net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts == nil {
		p.hosts = map[string]time.Time{}
	}
	if len(p.hosts) >= peersMost {
		oldest, when := "", time.Now()
		for h, at := range p.hosts {
			if !at.After(when) {
				oldest, when = h, at
			}
		}
		delete(p.hosts, oldest)
	}
	p.hosts[host(a)] = time.Now()
}

func host(a net.Addr) string {
	if a == nil {
		return ""
	}
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}
