package grpcnative

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Hosts are remembered for an hour, whatever the port, and the oldest is forgotten
// when there are too many.
func TestHostsThatMixAreRememberedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p peers
		at := func(i int) net.Addr {
			return &net.TCPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i)), Port: 1000 + i}
		}
		if p.has(at(0)) {
			t.Error("a host is known before it is added")
		}
		for i := range peersMost + 1 {
			p.add(at(i))
			time.Sleep(time.Second)
		}
		if n := len(p.hosts); n != peersMost {
			t.Errorf("%d hosts are kept, want %d", n, peersMost)
		}
		for i, want := range map[int]bool{0: false, 1: true, peersMost: true} {
			if got := p.has(at(i)); got != want {
				t.Errorf("host %d: %v, want %v", i, got, want)
			}
		}
		other := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
		if !p.has(other) {
			t.Error("another port is another host")
		}
		time.Sleep(peersKept - peersMost*time.Second - 2*time.Second)
		if !p.has(at(1)) {
			t.Error("forgotten too soon")
		}
		time.Sleep(4 * time.Second)
		if p.has(at(1)) || !p.has(at(peersMost)) {
			t.Error("not forgotten, or too much")
		}
		for _, odd := range []net.Addr{nil, &net.UnixAddr{Name: "@", Net: "unix"}} {
			p.add(odd)
			if !p.has(odd) {
				t.Errorf("%v is not remembered", fmt.Sprint(odd))
			}
		}
	})
}
