package wire

import (
	"net/http"
	"time"
)

// sweep closes connections while a server stops. http.Server.Shutdown waits five
// seconds for those that have sent nothing, and for ever for those that turn to
// HTTP/2 after it has told the others (golang/go#81153).
type sweep struct {
	fresh, idle time.Duration // how long a connection may be so; negative: for ever
	timer       *time.Timer
}

// CloseNew closes, from now on, every connection that has sent no byte of a
// request grace after it was accepted; over TLS after its handshake, unless that
// was not even begun.
func (l *Listener) CloseNew(grace time.Duration) { l.arm(&l.sweep.fresh, grace) }

// CloseIdle closes, from now on, every connection that has been idle for grace;
// one over HTTP/2 is first asked to leave, as by Drain, and closed grace after it
// has acknowledged that, or two seconds after it was asked. Many clients close no idle connection by themselves, whatever
// they are told. Below 100 ms it may cut the last frames of an answer: net/http
// calls a connection idle before it has written them. One over HTTP/1.1 that has
// sent a byte of its next request is spared, though net/http calls it idle until
// it has the whole header. A later call replaces the grace.
func (l *Listener) CloseIdle(grace time.Duration) { l.arm(&l.sweep.idle, grace) }

// CloseEnded closes, once, every connection over HTTP/1.1 whose handler
// returned grace ago or longer while its peer has still not taken the whole
// answer, or not sent the whole request, of which net/http then reads on. No
// deadline of net/http bounds that.
func (l *Listener) CloseEnded(grace time.Duration) int {
	l.mu.Lock()
	var due []*Conn
	now := l.now()
	for c := range l.conns {
		at := c.ended.Load()
		if at > 0 && time.Duration(now-at) >= grace && http.ConnState(c.state.Load()) == http.StateActive &&
			c.ended.Load() == at { // or it went on to its next request meanwhile
			due = append(due, c)
		}
	}
	l.mu.Unlock()
	for _, c := range due {
		_ = c.sock.Close() // not c: it might wait for the peer
	}
	return len(due)
}

func (l *Listener) arm(what *time.Duration, grace time.Duration) {
	l.mu.Lock()
	*what = max(grace, 0)
	if l.sweep.timer == nil {
		l.sweep.timer = time.AfterFunc(time.Hour, l.sweepOnce)
	}
	l.mu.Unlock()
	l.sweepOnce()
}

// sweepOnce closes what is due and comes again while there are connections.
func (l *Listener) sweepOnce() {
	l.mu.Lock()
	var due, untold []*Conn
	now := l.now()
	for c := range l.conns {
		since, state := c.since.Load(), c.state.Load()
		quiet := time.Duration(now - since)
		// Whether it is still as it was: a request may have come, and a byte of it
		// been noted no more, between one look and the next.
		still := func() bool { return c.state.Load() == state && c.since.Load() == since }
		switch http.ConnState(state) {
		case http.StateNew:
			if l.sweep.fresh >= 0 && quiet >= l.sweep.fresh && !c.shaking() && !c.asking() && still() {
				due = append(due, c)
			}
		case http.StateIdle:
			switch told := c.told.Load(); {
			case l.sweep.idle < 0:
			case told == 0 && c.session.Load() != nil && l.cfg.GoAway:
				untold = append(untold, c) // a stream may be on its way
			case quiet >= l.sweep.idle && c.heeds(now) >= l.sweep.idle && !c.asking() && still():
				due = append(due, c)
			}
		}
	}
	if !l.closed || len(l.conns) > 0 {
		l.sweep.rearm()
	}
	l.mu.Unlock()
	for _, c := range untold {
		c.leave()
	}
	for _, c := range due {
		c.retire(true)
	}
}

// heeds returns how long ago the peer has learned that it is to leave.
func (c *Conn) heeds(now int64) time.Duration {
	told := c.told.Load()
	if s := c.session.Load(); told == 0 || s == nil || s.queue == nil {
		return time.Duration(now - told)
	} else if c.heard == 0 && (s.sent.heeded() || time.Duration(now-told) >= inattention) {
		c.heard = now
	}
	if c.heard == 0 {
		return 0
	}
	return time.Duration(now - c.heard)
}

// unaware reports whether the peer, over HTTP/2, may open a stream since it has
// not read that it is to leave. http.Server.Shutdown would lose that.
func (l *Listener) unaware(c *Conn) bool {
	s := c.session.Load()
	return s != nil && s.queue != nil && l.cfg.GoAway && l.sweep.idle >= 0 &&
		(c.told.Load() == 0 && l.draining.Load() || c.heeds(l.now()) < l.sweep.idle)
}

// inattention is how long a peer may take to acknowledge that it is to leave.
const inattention = 2 * time.Second

// shaking reports whether the TLS handshake is under way, which has a timeout of
// its own.
func (c *Conn) shaking() bool {
	return c.secure != nil && !c.secure.ready.Load() && (c.sock.heard.Load() || c.sock.pending())
}

// asking reports whether some of a request has come that net/http does not count
// yet: it may have read a part, or, on a machine that is busy, nothing so far.
func (c *Conn) asking() bool {
	if s := c.session.Load(); s != nil && http.ConnState(c.state.Load()) == http.StateIdle {
		return s.last.Load() != c.quiet.Load() // a later stream than that learns by the GOAWAY that it has not
	}
	return c.begun.Load() || c.sock.pending()
}

// rearm sees to a next time, if there was a first.
func (s *sweep) rearm() {
	if s.timer != nil {
		s.timer.Reset(s.period())
	}
}

// period is a quarter of the shortest grace, within reason.
func (s *sweep) period() time.Duration {
	shortest := time.Second
	for _, d := range []time.Duration{s.fresh, s.idle} {
		if d >= 0 {
			shortest = min(shortest, d)
		}
	}
	return max(shortest/4, 10*time.Millisecond)
}
