package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull is what an [Event] of kind [Full] wraps.
var ErrFull = errors.New("too many connections")

// Listener is a net.Listener whose connections are wired as its [Config] says,
// and the register of them. Its methods may be called from several goroutines.
type Listener struct {
	net.Listener
	cfg   Config
	start time.Time

	draining atomic.Bool
	settling atomic.Bool
	settled  atomic.Int64  // since when
	late     atomic.Int64  // connections accepted since
	deaf     atomic.Bool   // nothing more is accepted
	ended    chan struct{} // closed by Close

	closeOnce func() error

	accepted, refused, evicted, floods, handshakeErrors atomic.Int64

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	closed bool
	sweep  sweep
}

// Listen returns a Listener over l.
func Listen(l net.Listener, cfg Config) *Listener {
	return &Listener{
		Listener: l,
		cfg:      cfg,
		start:    time.Now(),
		ended:    make(chan struct{}),

		closeOnce: sync.OnceValue(func() error { return l.Close() }), // http.Server.Shutdown fails with the error of a second
		conns:     make(map[*Conn]struct{}),
		sweep:     sweep{fresh: -1, idle: -1},
	}
}

// now is the time since the start, in nanoseconds; clock jumps do not move it.
func (l *Listener) now() int64 { return int64(time.Since(l.start)) }

// Accept implements net.Listener. It does not wait for TLS handshakes.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.accept()
		if err != nil {
			return nil, err
		}
		c := l.newConn(raw)
		if l.register(c) {
			return c, nil
		}
		l.report(Full, &l.refused, c, fmt.Errorf("%w: %d are open and none is idle", ErrFull, l.cfg.MaxConns))
		_ = raw.Close()
	}
}

// accept takes the next connection. When the Listener settles it takes those that
// the system has for it, which would else be reset, and then waits for its end.
func (l *Listener) accept() (net.Conn, error) {
	for idle := 0; ; idle++ {
		raw, err := l.Listener.Accept()
		if err == nil {
			if l.settling.Load() && (l.late.Add(1) >= settleMost || l.now()-l.settled.Load() >= int64(settleFor)) {
				_ = l.closeOnce()
			}
			return raw, nil
		}
		if !l.settling.Load() {
			l.deaf.Store(!IsTemporary(err))
			return nil, err
		}
		if idle < 2 && errors.Is(err, os.ErrDeadlineExceeded) && l.rush() {
			continue // once more: the deadline may have passed before it looked
		}
		_ = l.closeOnce()
		l.deaf.Store(true)
		<-l.ended
		return nil, net.ErrClosed
	}
}

// rush lets an Accept wait no longer, if it can be told so.
func (l *Listener) rush() bool {
	d, ok := l.Listener.(interface{ SetDeadline(t time.Time) error })
	return ok && d.SetDeadline(time.Now().Add(5*time.Millisecond)) == nil
}

// IsTemporary reports an error of Accept that http.Server goes on after: it calls
// Accept again in a moment.
func IsTemporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// Close implements net.Listener. Open connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.ended)
	}
	l.mu.Unlock()
	return l.closeOnce()
}

// Settle accepts no more than has connected by now, but lets Accept wait until
// Close, so that whoever serves the Listener goes on. http.Server.Shutdown closes
// at once the connections that have sent half of a request, and drops what comes
// whole: it is to be called when [Listener.Waiting] has become zero.
func (l *Listener) Settle() {
	l.settled.Store(l.now())
	l.settling.Store(true)
	if l.rush() {
		return
	}
	_ = l.closeOnce()
	l.deaf.Store(true)
}

// Once the Listener settles it takes what the system holds for it, which is to be
// had at once. These bound what comes meanwhile.
const (
	settleMost = 4 << 10 // connections: as many as a system holds for a listener, or more
	settleFor  = time.Second
)

// Waiting returns how many connections may still bring a request: those that are
// neither serving one nor closed, also if net/http has still to begin one, or to
// end an answer (see [Conn.Begun] and [Conn.Ended]), those over HTTP/2 whose peers may
// not have read yet that they are to leave (see [Listener.CloseIdle]), and one that
// may still be accepted.
func (l *Listener) Waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && !l.deaf.Load() {
		n++
	}
	for c := range l.conns {
		s := http.ConnState(c.state.Load())
		if (s == http.StateNew || s == http.StateIdle || s == http.StateActive && (c.ended.Load() != 0 || l.unaware(c))) && !c.closed.Load() {
			n++
		}
	}
	return n
}

// register makes room for c if it has to, and reports whether there is any.
func (l *Listener) register(c *Conn) bool {
	l.mu.Lock()
	var victim *Conn
	if full := l.cfg.MaxConns > 0 && len(l.conns) >= l.cfg.MaxConns; full {
		if victim = l.longestIdle(); victim == nil {
			l.mu.Unlock()
			return false
		}
		delete(l.conns, victim)
	}
	l.conns[c] = struct{}{}
	if l.cfg.MaxAge > 0 {
		spread := 1 + l.cfg.AgeJitter*(2*rand.Float64()-1)
		c.age = time.AfterFunc(time.Duration(float64(l.cfg.MaxAge)*spread), c.leave)
	}
	l.sweep.rearm()
	l.mu.Unlock()

	l.accepted.Add(1)
	if victim != nil {
		l.evicted.Add(1)
		victim.retire(false)
	}
	return true
}

// longestIdle looks at every connection: only a full server pays for it.
func (l *Listener) longestIdle() (oldest *Conn) {
	for c := range l.conns {
		if http.ConnState(c.state.Load()) != http.StateIdle {
			continue
		}
		if oldest == nil || c.since.Load() < oldest.since.Load() {
			oldest = c
		}
	}
	return oldest
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// report counts an event and tells of it.
func (l *Listener) report(kind EventKind, count *atomic.Int64, c *Conn, err error) {
	count.Add(1)
	if l.cfg.Report != nil {
		l.cfg.Report(Event{Kind: kind, Peer: c.RemoteAddr(), Err: err})
	}
}

// ConnState keeps the register; assign it to http.Server.ConnState, or call it
// from there. It ignores connections that are not of a Listener.
func (l *Listener) ConnState(conn net.Conn, s http.ConnState) {
	c, ok := conn.(*Conn)
	if !ok {
		return
	}
	if h2 := c.session.Load(); h2 != nil {
		c.quiet.Store(h2.last.Load())
	}
	// Others look meanwhile. What they look at in one state is to be right before
	// it begins and until it is over.
	switch s {
	case http.StateIdle:
		if c.begun.Load() { // net/http asks per request: a store is dearer than a look
			c.begun.Store(false)
		}
		c.waits.Store(false)
		c.since.Store(l.now())
		c.state.Store(int32(s))
	case http.StateNew: // which net/http tells of what Greet has read from: begun stays
		c.since.Store(l.now())
		c.state.Store(int32(s))
	default:
		if s == http.StateActive && c.session.Load() == nil {
			c.ended.Store(unbegun)
		}
		c.state.Store(int32(s))
		c.begun.Store(false)
	}
}

// ConnContext lets [FromContext] find the connection of a request; assign it to
// http.Server.ConnContext, or call it from there.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*Conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// Drain asks every connection to leave: those over HTTP/2 by a GOAWAY that still
// lets all streams in (at once; if they come from now on, with their first
// answer or after a second, or they would come back at once), those over HTTP/1.1 by their [Conn.Leaving]. It returns at once, and
// everything goes on being served.
func (l *Listener) Drain() {
	l.draining.Store(true)
	for _, c := range l.all() {
		c.leave()
	}
}

func (l *Listener) all() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}

// Stats returns the present figures.
func (l *Listener) Stats() Stats {
	s := Stats{
		Accepted: l.accepted.Load(), Refused: l.refused.Load(), Evicted: l.evicted.Load(),
		Floods: l.floods.Load(), HandshakeErrors: l.handshakeErrors.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Open = len(l.conns)
	for c := range l.conns {
		switch http.ConnState(c.state.Load()) {
		case http.StateNew:
			s.New++
		case http.StateActive:
			s.Active++
		case http.StateIdle:
			s.Idle++
		}
		if c.session.Load() != nil {
			s.HTTP2++
		}
	}
	return s
}
