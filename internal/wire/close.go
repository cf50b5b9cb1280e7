package wire

import (
	"io"
	"net"
	"time"
)

const (
	closeWait = time.Second            // for what was queued when the connection was closed
	lingering = 500 * time.Millisecond // for the peer to read why it was
	lingerMax = 64 << 10               // bytes of it that are read meanwhile
)

// Close implements net.Conn. It does not wait: what is queued has a second to be
// sent, and so long the connection counts as open.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	s := c.session.Load()
	if s == nil || s.queue == nil {
		if c.linger.Load() && (c.secure == nil || c.secure.ready.Load()) {
			time.AfterFunc(closeWait+lingering, func() { _ = c.sock.Close() })
			go c.settled(nil)
			return nil
		}
		return c.shut()
	}
	empty := s.queue.close()
	if empty && !c.linger.Load() {
		return c.shut()
	}
	// http.Server.Close calls this under its lock, one connection after another.
	_ = c.deadline.set(c.sock, c.l.start, spent)
	wait := closeWait
	if c.linger.Load() {
		wait += lingering
	}
	time.AfterFunc(wait, func() { _ = c.sock.Close() })
	if empty {
		go c.settled(nil)
	}
	return nil
}

// Linger lets the peer read the last answer over HTTP/1.1 when the connection is
// closed while it still sends its request: the system would reset it, and the peer
// lose what it has not read. net/http does so only for requests that are too large.
func (c *Conn) Linger() { c.linger.Store(true) }

// settled is told by the queue that it has sent everything after it was closed,
// or can send no more. In the latter case net/http learns it from its next Read.
func (c *Conn) settled(err error) {
	switch {
	case err != nil && !c.closed.Load():
		_ = c.sock.Close()
		return
	case err == nil && c.linger.Load():
		c.drain()
	}
	_ = c.shut()
}

// drain gives the peer time to read the end. A socket closed with unread bytes
// in it is reset, and the reset may overtake the GOAWAY on the peer's side. What
// a flood still sends is left in the socket, where it costs nothing.
func (c *Conn) drain() {
	if c.secure != nil {
		_ = c.secure.CloseWrite()
	}
	cw, ok := c.sock.Conn.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(lingering)
	_ = c.sock.SetReadDeadline(end)
	if n, _ := io.CopyN(io.Discard, c.sock.Conn, lingerMax); n == lingerMax {
		time.Sleep(time.Until(end)) //nolint:forbidigo // the peer has so long, whatever it does
	}
}

// shut closes the socket, once, and takes the connection off the register.
func (c *Conn) shut() error {
	if c.gone.Swap(true) {
		return nil
	}
	if c.age != nil {
		c.age.Stop()
	}
	if c.secure != nil { // crypto/tls gives its farewell five seconds
		defer time.AfterFunc(closeWait, func() { _ = c.sock.Close() }).Stop()
	}
	err := c.conn.Close()
	c.l.forget(c)
	return err
}

// retire closes an idle connection. An HTTP/2 peer is told which stream was the
// last, so that it may send a later one, which crosses this, again elsewhere.
func (c *Conn) retire(linger bool) {
	if s := c.session.Load(); s != nil && s.queue != nil && c.l.cfg.GoAway {
		s.mute.Store(true) // before last is read: see session.pass
		s.queue.end(s.last.Load(), codeNo)
		c.linger.Store(linger)
	}
	_ = c.Close()
}

// flooded ends a connection whose meter has run over. net/http, which reads
// io.EOF as soon as the peer has been told, closes it.
func (c *Conn) flooded(err error) {
	c.linger.Store(true)
	s := c.session.Load()
	s.queue.end(s.last.Load(), codeCalm)
	c.l.report(Flood, &c.l.floods, c, err)
	s.queue.awaitEnd(closeWait)
}
