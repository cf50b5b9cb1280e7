package wire

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// A connection whose handler has returned may bring a request until it is closed:
// there is no moment at which it seems to serve one.
func TestAConnectionThatBecomesIdleWaitsAllAlong(t *testing.T) {
	t.Parallel()
	raw, peer := net.Pipe()
	defer peer.Close()
	l := Listen(nil, Config{})
	l.closed = true // it accepts no more
	c := l.newConn(raw)
	defer c.Close()
	l.conns[c] = struct{}{}
	var ended atomic.Int64 // odd: the handler has returned
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100_000 {
			l.ConnState(c, http.StateActive)
			c.Ended()
			ended.Add(1)
			l.ConnState(c, http.StateIdle)
			ended.Add(1)
		}
	}()
	for {
		select {
		case <-done:
			if l.ConnState(c, http.StateActive); l.Waiting() != 0 { // the control
				t.Error("a connection that serves a request waits for one")
			}
			return
		default:
		}
		before := ended.Load()
		if n := l.Waiting(); n == 0 && before%2 == 1 && ended.Load() == before {
			t.Fatal("for a moment nothing was waited for")
		}
	}
}
