package connectum

import (
	"net"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/wire"
)

// Who has connected when a server stops to accept is served, by whatever address:
// closed at once, the system would reset those that it has not handed over.
func TestSettleTakesWhoHasConnectedToAnEngine(t *testing.T) {
	t.Parallel()
	const conns = 10 // to each
	all := &listeners{tags: []int{1, 2}}
	for _, one := range []*net.Listener{&all.main, nil, nil} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if one != nil {
			*one = l
		} else {
			all.own = append(all.own, l)
		}
		for range conns {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	all.begin()
	l := wire.Listen(all, wire.Config{})
	l.Settle()
	byTag := make(chan [3]int)
	go func() {
		var n [3]int
		for {
			c, err := l.Accept()
			if err != nil {
				byTag <- n
				return
			}
			defer c.Close()
			n[c.(*wire.Conn).Tag()]++
			if n == [3]int{conns, conns, conns} {
				go func() { _ = l.Close() }()
			}
		}
	}()
	defer time.AfterFunc(10*time.Second, func() { _ = l.Close() }).Stop()
	if n := <-byTag; n != [3]int{conns, conns, conns} {
		t.Errorf("accepted %v, want %d of each", n, conns)
	}
	for _, one := range append(all.own, all.main) {
		if _, err := net.Dial("tcp", one.Addr().String()); err == nil {
			t.Error("it still accepts")
		}
	}
}
