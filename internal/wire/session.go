package wire

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// session is what a connection needs more once it speaks HTTP/2.
type session struct {
	conn  net.Conn      // plaintext: the socket, or TLS over it
	input *readBuffer   // nil: read straight from conn
	meter *meter        // nil: all parts are off
	queue *queue        // nil: all parts are off
	flood func(error)   // called once, by the reader
	last  atomic.Uint32 // the highest stream net/http was given
	sent  sentData
	mute  atomic.Bool // net/http is given nothing more
}

func (c *Conn) newSession() *session {
	s := &session{conn: c.conn, flood: c.flooded}
	cfg := &c.l.cfg
	if !cfg.Batch && !cfg.GoAway && cfg.Meter == (Meter{}) {
		return s
	}
	s.meter = newMeter(cfg.Meter, time.Now, &s.sent, &s.last)
	out := c.conn
	if c.secure == nil {
		if out = c.sock; cfg.Batch { // crypto/tls reads ahead by itself
			s.input = newReadBuffer(c.sock)
		}
	}
	s.queue = newQueue(c.sock, out, cfg.Batch, &s.sent, c.settled)
	return s
}

// read is net.Conn.Read, metered. It is called by one goroutine at a time.
func (s *session) read(p []byte) (n int, err error) {
	if s.input == nil {
		n, err = s.conn.Read(p)
		return s.pass(p[:n], n, err)
	}
	if s.input.empty() {
		if len(p) >= readBytes {
			n, err = s.conn.Read(p)
			return s.pass(p[:n], n, err)
		}
		err = s.input.fill()
		if _, err = s.pass(s.input.bytes(), 0, err); err != nil {
			s.input.release()
			return 0, err
		}
	}
	return s.input.read(p), nil
}

// pass lets what was read through to net/http, or not.
func (s *session) pass(p []byte, n int, err error) (int, error) {
	if s.meter != nil && len(p) > 0 {
		if e := s.meter.see(p); e != nil && !s.mute.Swap(true) {
			s.flood(e)
		}
	}
	if s.mute.Load() {
		return 0, io.EOF
	}
	return n, err
}
