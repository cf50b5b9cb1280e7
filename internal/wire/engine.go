package wire

import "net/http"

// What those need who serve a connection in place of net/http, from
// [Conn.Greet] on.

// Engage makes c a connection that somebody else than net/http serves, who
// writes in batches himself, and ends it by GOAWAYs of his own: leave is called
// when the peer is to be asked for that, perhaps more than once, and at once when
// it is so already. It must not block.
//
// It counts as idle from now on, but is spared by [Listener.CloseIdle] until the
// request that Greet returned has been served: see Become.
func (c *Conn) Engage(leave func()) {
	c.become(http.StateIdle)
	c.quiet.Store(0)
	c.onLeave.Store(&leave)
	if s := c.session.Load(); s != nil && s.queue != nil {
		s.queue.mu.Lock()
		s.queue.batch = false
		s.queue.mu.Unlock()
	}
	if c.Leaving() {
		leave()
	}
}

// Ask asks the peer, by a GOAWAY that still lets every stream in, to open further
// ones elsewhere (RFC 9113, section 6.8). Only the first call counts.
func (c *Conn) Ask() {
	if s := c.session.Load(); s != nil && s.queue != nil {
		s.queue.ask(false)
	}
}

// Reset ends a stream with an error code.
func (c *Conn) Reset(stream, code uint32) {
	if s := c.session.Load(); s != nil && s.queue != nil {
		s.queue.insert(appendReset(nil, stream, code))
	}
}
