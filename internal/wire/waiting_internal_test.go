package wire

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// A connection whose handler has returned may bring a request, and what has come of
// one is not served until the next handler runs: there is no moment in between at
// which it seems to be served.
func TestAConnectionWithoutAHandlerWaitsAllAlong(t *testing.T) {
	t.Parallel()
	raw, peer := net.Pipe()
	defer peer.Close()
	l := Listen(nil, Config{})
	l.closed = true // it accepts no more
	c := l.newConn(raw)
	defer c.Close()
	l.conns[c] = struct{}{}
	l.ConnState(c, http.StateActive)
	var ended atomic.Int64 // odd: the handler has returned
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100_000 {
			c.Begun()
			c.Ended()
			ended.Add(1)
			l.ConnState(c, http.StateIdle)
			l.ConnState(c, http.StateActive)
			ended.Add(1)
		}
	}()
	for {
		select {
		case <-done:
			if c.Begun(); l.Waiting() != 0 { // the control
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
