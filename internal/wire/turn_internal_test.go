package wire

import (
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
)

// A client that calls again at once has its turn before the server looks for the
// request: a read that finds nothing is a system call, and a wait, for nothing.
func TestAnAnswerReachesItsClientBeforeTheNextRequestIsReadFor(t *testing.T) { //nolint:paralleltest // it sets GOMAXPROCS
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that a turn is one
	const calls = 200
	if vain := readsInVain(t, calls, http.StateIdle); vain > calls/4 {
		t.Errorf("%d of %d reads found nothing", vain, calls)
	}
	// The control: a read that waits for no request gives way to nobody.
	if vain := readsInVain(t, calls, http.StateActive); vain < calls/2 {
		t.Errorf("%d of %d reads found nothing where none gives way: the test can't tell", vain, calls)
	}
}

// readsInVain serves one client who calls again as soon as it has its answer, and
// returns how many reads came before the request. What is read in state follows
// an answer.
func readsInVain(t *testing.T, calls int, state http.ConnState) int {
	raw := &lockstep{}
	raw.some.L = &raw.mu
	l := Listen(nil, Config{})
	l.closed = true // it accepts no more
	c := l.newConn(raw)
	l.conns[c] = struct{}{}
	c.matched = known
	buf := make([]byte, bufioBytes)
	for range calls {
		l.ConnState(c, http.StateActive)
		if _, err := c.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		l.ConnState(c, state)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "request" {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
	}
	_ = c.Close()
	return raw.vain
}

// lockstep is the connection of a client that writes its next request when it has
// its answer, by a goroutine of its own.
type lockstep struct {
	net.Conn
	mu   sync.Mutex
	some sync.Cond
	in   []byte
	vain int // reads that found nothing
}

func (l *lockstep) Write(p []byte) (int, error) {
	go func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.in = append(l.in, "request"...)
		l.some.Signal()
	}()
	return len(p), nil
}

func (l *lockstep) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.in) == 0 {
		l.vain++
	}
	for len(l.in) == 0 {
		l.some.Wait()
	}
	n := copy(p, l.in)
	l.in = l.in[n:]
	return n, nil
}

func (l *lockstep) Close() error { return nil }
