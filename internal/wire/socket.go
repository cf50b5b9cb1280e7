package wire

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// socket is the raw connection, below TLS. A write to it may last as long as it
// makes progress: only when no byte went out for a while it fails. That is what
// net/http means by HTTP2Config.WriteByteTimeout, and crypto/tls cannot do it
// from above, since a timeout spoils its state for good.
type socket struct {
	net.Conn
	stall atomic.Int64 // a time.Duration without progress that ends a write; 0 = none
	moved atomic.Int64 // bytes that went out, as of the last time that a write stalled or ended
	armed atomic.Bool  // a deadline of ours is set
	heard atomic.Bool  // over TLS: the peer has sent something

	system bool // Conn is the system's own, and nothing that embeds it
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		s.system = true
	}
	return s
}

// Read is for TLS.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 && !s.heard.Load() {
		s.heard.Store(true)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	n := 0
	_, err := s.push(func() (int64, error) {
		k, err := s.Conn.Write(p[n:])
		n += k
		return int64(k), err
	})
	return n, err
}

// WriteBuffers writes all of b, in one system call if Conn is the system's own.
func (s *socket) WriteBuffers(b *net.Buffers) (int64, error) {
	return s.push(func() (int64, error) { return b.WriteTo(s.Conn) })
}

// push repeats write, which goes on where it stopped, until it has not stalled.
func (s *socket) push(write func() (int64, error)) (n int64, err error) {
	for {
		stall := time.Duration(s.stall.Load())
		if stall > 0 {
			s.armed.Store(true)
			_ = s.SetWriteDeadline(time.Now().Add(stall))
		} else if s.armed.Load() {
			s.armed.Store(false)
			_ = s.SetWriteDeadline(time.Time{})
		}
		k, err := write()
		n += k
		s.moved.Add(k)
		if err == nil || k == 0 || s.stall.Load() <= 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// cut ends a write under way as soon as t has passed.
func (s *socket) cut(t time.Time) {
	s.stall.Store(0)
	s.armed.Store(true)
	_ = s.SetWriteDeadline(t)
}
