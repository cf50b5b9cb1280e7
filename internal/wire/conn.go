package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	overstay = 10 * time.Second // see Overstayed
	patience = time.Second      // see Drain

	// net/http looks for the next request of an HTTP/1.1 connection by peeking at
	// so many bytes through a buffer of that size (net/http, conn.serve). Part of
	// a request that came together with the one before is in that buffer, out of
	// our sight: then it asks for less than the whole buffer, or goes on at once
	// to the deadline of the header.
	bufioBytes = 4 << 10
	peeked     = 4

	known   = -1 // Conn.matched: the preface has come, or something else
	refused = -2 // Conn.matched: something else, where TLS had agreed on h2
)

// Conn is one connection of a [Listener]. An HTTP/1.1 one is passed through;
// HTTP/2 is recognised by its preface, whatever TLS negotiated.
type Conn struct {
	l      *Listener
	sock   *socket  // the raw connection
	secure *secure  // nil: plaintext
	conn   net.Conn // plaintext: the raw connection, or secure

	matched int // bytes of the HTTP/2 preface so far, or known, or refused
	session atomic.Pointer[session]

	// Serving is for the outermost handler, to keep what it knows of the
	// HTTP/1.1 request that it is serving. HTTP/2 has many at a time.
	Serving any

	state atomic.Int32  // an http.ConnState
	since atomic.Int64  // when it became new or idle last, in nanoseconds of the Listener
	begun atomic.Bool   // since then a byte of a request has come, HTTP/1.1 or the preface
	waits atomic.Bool   // net/http has said how long it waits for that
	quiet atomic.Uint32 // the highest stream when it last became idle
	told  atomic.Int64  // when it was asked to leave; 0: it was not
	heard int64         // when it was first seen to have read that; 0: it was not; under the register's lock
	ended atomic.Int64  // when its last handler returned, HTTP/1.1; 0: it runs, or there was none; or unbegun
	age   *time.Timer

	early   *early                 // what Greet has read; only the reader touches it
	mask    *ackFilter             // what Greet has said already; only the writer touches it
	headBy  time.Time              // when the first header must have come; zero: as net/http says
	onLeave atomic.Pointer[func()] // asks the peer to leave, in place of the GOAWAY of ours
	tag     int

	deadline readDeadline
	sending  atomic.Bool // a deadline for writes was set, once
	late     bool        // a header did not come in time; only the reader touches it, who answers

	closed atomic.Bool // Close was called
	linger atomic.Bool // it must let the peer read why
	gone   atomic.Bool // the socket is closed, and the register knows
}

func (l *Listener) newConn(raw net.Conn) *Conn {
	tag := 0
	if t, ok := raw.(*Tagged); ok {
		raw, tag = t.Conn, t.Tag
	}
	c := &Conn{l: l, sock: newSocket(raw), conn: raw, tag: tag}
	c.since.Store(l.now())
	if l.cfg.TLS != nil {
		c.secure = &secure{Conn: tls.Server(c.sock, l.cfg.TLS), timeout: l.cfg.HandshakeTimeout}
		c.conn = c.secure
	}
	return c
}

// Tagged is a connection that one of several listeners accepted. What a
// [Listener] makes of it has its Tag.
type Tagged struct {
	net.Conn
	Tag int
}

// Tag returns the tag that the connection was accepted with, or zero.
func (c *Conn) Tag() int { return c.tag }

type connKey struct{}

// FromContext returns the connection a request came by, or nil if it came by
// none of a [Listener].
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// TLS returns the state of the TLS connection: not nil on any request that came
// by one, nil on plaintext. The outermost handler must set http.Request.TLS to
// it. It is shared and must not be changed.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.secure == nil || !c.secure.ready.Load() {
		return nil
	}
	return c.secure.state
}

// Leaving reports whether the peer is to leave, since the Listener drains or the
// connection is old. Answers over HTTP/1.1 must then say Connection: close;
// those over HTTP/2 must not, or net/http ends the connection under the streams
// that are on their way. See [Conn.Overstayed].
func (c *Conn) Leaving() bool { return c.told.Load() != 0 || c.l.draining.Load() }

// Overstayed reports whether the peer was asked to leave 10 seconds ago or more.
// If it still sends requests it does not heed the first GOAWAY: answers, over
// HTTP/2 too, should say Connection: close.
func (c *Conn) Overstayed() bool {
	at := c.told.Load()
	return at != 0 && c.l.now()-at >= int64(overstay)
}

// unbegun is Conn.ended from when net/http has the header of a request over HTTP/1.1
// until its handler runs. http.Server.Shutdown drops what is in between.
const unbegun = -1

// Begun tells that the handler of an HTTP/1.1 request on c runs.
func (c *Conn) Begun() { c.ended.Store(0) }

// Ended tells that the handler of the HTTP/1.1 request on c has returned, so
// that what is left is up to the peer. See [Listener.CloseEnded].
func (c *Conn) Ended() { c.ended.Store(max(c.l.now(), 1)) }

// leave asks the peer to leave.
func (c *Conn) leave() {
	c.told.CompareAndSwap(0, max(c.l.now(), 1))
	if ask := c.onLeave.Load(); ask != nil {
		(*ask)()
		return
	}
	if s := c.session.Load(); s != nil && s.queue != nil && c.l.cfg.GoAway {
		s.queue.ask(false)
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.early != nil {
		return c.early.read(c, p)
	}
	return c.read(p)
}

func (c *Conn) read(p []byte) (n int, err error) {
	n, err = c.readOnce(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.expecting() {
		n, err = c.rescue(p, err)
		c.late = n == 0
	}
	return n, err
}

// expecting reports whether a header is awaited, which a deadline of its own
// bounds.
func (c *Conn) expecting() bool {
	s := http.ConnState(c.state.Load())
	return (s == http.StateNew || s == http.StateIdle) && c.deadline.at.Load() != interrupted && !c.closed.Load()
}

// rescue reads what had come when a deadline passed, but was not read by then: on
// a machine that is busy it is not the peer who was slow. net/http reads the first
// 14 bytes of a connection apart, so that the rest of a request that came whole may
// be what is left. Who sends byte by byte has no use of it.
func (c *Conn) rescue(p []byte, err error) (int, error) {
	if !c.sock.pending() {
		return 0, err
	}
	_ = c.deadline.set(c.conn, c.l.start, c.l.now()+int64(closeWait))
	n, err := c.readOnce(p)
	_ = c.deadline.set(c.conn, c.l.start, spent)
	return n, err
}

func (c *Conn) readOnce(p []byte) (n int, err error) {
	s := c.session.Load()
	if !c.deadline.begin(c.conn, c.l.start, s == nil && c.secure == nil) {
		err = os.ErrDeadlineExceeded
	} else {
		n, err = c.receive(s, p)
		c.deadline.end()
	}
	if err != nil && c.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

// receive reads what comes by the connection itself.
func (c *Conn) receive(s *session, p []byte) (n int, err error) {
	if c.secure != nil && c.secure.handshake(c) != nil {
		return 0, io.EOF // anything else net/http would answer
	}
	if s != nil {
		return s.read(p)
	}
	if c.matched == refused {
		return 0, io.EOF
	}
	if len(p) < bufioBytes && len(p) > bufioBytes-peeked && c.idle() {
		c.begun.Store(true) // the rest of what it peeks at has come already
	}
	if c.idle() && !c.begun.Load() {
		// A client that has its answer may call again before those that are about to
		// run have run. A read that comes after them then finds the request, where
		// one that comes first finds nothing, and has to wait and to read again.
		runtime.Gosched()
	}
	n, err = c.conn.Read(p)
	for n == 0 && err != nil && c.secure == nil && errors.Is(err, os.ErrDeadlineExceeded) && c.deadline.again(c.conn, c.l.start) {
		n, err = c.conn.Read(p)
	}
	if n > 0 {
		if !c.begun.Load() {
			c.begun.Store(true)
		}
		if c.matched >= 0 {
			n, err = c.sniff(p[:n], err)
		}
	}
	return n, err
}

// idle reports whether net/http waits for the next request.
func (c *Conn) idle() bool { return http.ConnState(c.state.Load()) == http.StateIdle }

// sniff looks for the preface of HTTP/2 in the first bytes.
func (c *Conn) sniff(p []byte, err error) (int, error) {
	k := min(len(p), len(preface)-c.matched)
	if string(p[:k]) != preface[c.matched:c.matched+k] {
		c.matched = known
		if c.secure != nil && c.secure.state.NegotiatedProtocol == "h2" {
			c.matched = refused // RFC 9113, section 3.4: a connection error
			return 0, io.EOF
		}
		return len(p), err
	}
	if c.matched += k; c.matched < len(preface) {
		return len(p), err
	}
	c.matched = known
	s := c.newSession()
	c.session.Store(s)
	switch {
	case s.queue == nil:
	case c.onLeave.Load() != nil: // its batches and GOAWAYs are not ours
		s.queue.batch = false
	case c.Leaving() && c.l.cfg.GoAway: // else leave sees the session
		s.queue.ask(true)
		time.AfterFunc(patience, c.leave) // it may never call
	}
	_, err = s.pass(p[k:], 0, err)
	return len(p), err
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if c.mask != nil {
		return c.writeMasked(p)
	}
	return c.write(p)
}

func (c *Conn) write(p []byte) (int, error) {
	if s := c.session.Load(); s != nil && s.queue != nil {
		return s.queue.Write(p)
	}
	if c.late {
		// net/http takes what came of the first line for the whole of it, and
		// would blame the client: bufio.Reader.ReadLine drops the error.
		return 0, os.ErrDeadlineExceeded
	}
	if c.secure != nil {
		if err := c.secure.handshake(c); err != nil {
			return 0, err
		}
	}
	return c.conn.Write(p)
}

// ReadFrom implements io.ReaderFrom, so that net/http still sends files of
// HTTP/1.1 answers by sendfile.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if c.session.Load() == nil && c.secure == nil {
		if rf, ok := c.conn.(io.ReaderFrom); ok {
			return rf.ReadFrom(r)
		}
	}
	buf := writePool.Get().(*[writeBytes]byte)
	defer writePool.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, buf[:])
}

// CloseWrite ends the sending side of an HTTP/1.1 connection.
func (c *Conn) CloseWrite() error {
	if cw, ok := c.conn.(interface{ CloseWrite() error }); ok && c.session.Load() == nil {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. One that is set before a TLS handshake
// begins counts from its end.
func (c *Conn) SetReadDeadline(t time.Time) error {
	waiting := c.idle() && c.session.Load() == nil && c.onLeave.Load() == nil
	if waiting {
		if !c.waits.Load() {
			c.waits.Store(true)
		} else if !c.begun.Load() {
			c.begun.Store(true) // it has had all that it peeks at
		}
	}
	if t.IsZero() {
		return c.deadline.set(c.conn, c.l.start, none)
	}
	if !c.headBy.IsZero() {
		if c.headBy.Before(t) {
			t = c.headBy
		}
		c.headBy = time.Time{}
	}
	return c.deadline.set(c.conn, c.l.start, c.deadlineAt(t, waiting))
}

// deadlineAt is t in nanoseconds of the Listener. Where net/http waits for a request,
// t is one of its own: far enough ahead, or long ago.
func (c *Conn) deadlineAt(t time.Time, waiting bool) int64 {
	at := int64(t.Sub(c.l.start))
	if at > none && !waiting {
		left := time.Until(t)
		if left <= 0 {
			return interrupted
		}
		at = c.l.now() + int64(left) // t may be of the wall clock, which jumps
	}
	if at <= none {
		return interrupted
	}
	return at
}

// SetWriteDeadline implements net.Conn. On an HTTP/2 connection it bounds how
// long the peer may take no byte of a Write, rather than the whole of it.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if s := c.session.Load(); s != nil && s.queue != nil {
		s.queue.setDeadline(t)
		return nil
	}
	if !t.IsZero() {
		c.sending.Store(true)
	} else if !c.sending.Load() {
		return nil // net/http takes back, with every request, what it has not set
	}
	return c.conn.SetWriteDeadline(t)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }
