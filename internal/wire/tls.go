package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// secure is the TLS side of a connection. The handshake happens at its first
// Read or Write, which waits for it, on a goroutine of its own: the deep stack
// that it needs goes with it, where the connection's own goroutine would keep
// eight kilobytes more for as long as it lives.
//
// net/http must not see it: a connection with a ConnectionState method is not
// looked at for the HTTP/2 preface (net/http, conn.serve).
type secure struct {
	*tls.Conn
	timeout time.Duration

	once  sync.Once
	ready atomic.Bool // the handshake is over
	err   error
	state *tls.ConnectionState

	mu          sync.Mutex
	began       time.Time // zero: not yet
	took        time.Duration
	read, write time.Time // deadlines set before the handshake was over
}

// handshake returns the handshake's error, which it waits for.
func (s *secure) handshake(c *Conn) error {
	if !s.ready.Load() {
		s.once.Do(func() { s.shake(c) })
	}
	return s.err
}

func (s *secure) shake(c *Conn) {
	s.mu.Lock()
	s.began = time.Now()
	s.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- s.try(c) }()
	err := <-done
	if err == nil {
		state := s.ConnectionState()
		s.state = &state
		c.since.Store(c.l.now()) // a request can come only now
	}
	s.mu.Lock()
	// What net/http set before its first Read is the deadline of a request: it
	// begins when there can be one.
	took := time.Since(s.began)
	s.took = took
	if !s.read.IsZero() {
		_ = s.Conn.SetReadDeadline(s.read.Add(took))
	}
	if !s.write.IsZero() {
		_ = s.Conn.SetWriteDeadline(s.write.Add(took))
	}
	s.err = err
	s.ready.Store(true)
	s.mu.Unlock()
	if err != nil && !c.closed.Swap(true) {
		c.l.report(HandshakeFailed, &c.l.handshakeErrors, c, err)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			// Since TLS 1.3 a client learns that its certificate is refused when it
			// may have sent requests already: closed at once it would see a broken
			// pipe in place of the alert.
			c.drain()
		}
		_ = c.shut()
	}
}

// shook returns how long the handshake took.
func (c *Conn) shook() time.Duration {
	if c.secure == nil || !c.secure.ready.Load() {
		return 0
	}
	return c.secure.took
}

func (s *secure) try(c *Conn) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil { // by a callback of tls.Config
			err = fmt.Errorf("panic: %v", thrown)
		}
	}()
	over := func() (late bool) { return false }
	if s.timeout > 0 {
		over = bound(s.timeout, c.sock.pending, func() { _ = c.sock.SetDeadline(past) })
	}
	err = s.HandshakeContext(context.Background())
	if over() {
		return fmt.Errorf("not done in %v: %w", s.timeout, os.ErrDeadlineExceeded)
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		// The same words as net/http's.
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		return errors.New("client sent an HTTP request to an HTTPS server")
	}
	return err
}

// bound calls cut after d, or up to d later while there is something to read:
// then it is not the peer who is slow. The function it returns ends that, and
// reports whether it has happened.
func bound(d time.Duration, pending func() bool, cut func()) (over func() (late bool)) {
	var mu sync.Mutex
	var timer *time.Timer
	var done, late bool
	last := time.Now().Add(2 * d)
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(d, func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case done:
		case time.Now().Before(last) && pending():
			timer.Reset(max(d/100, time.Millisecond))
		default:
			late = true
			cut()
		}
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		done = true
		timer.Stop()
		return late
	}
}

func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

func (s *secure) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *secure) SetReadDeadline(t time.Time) error {
	if s.hold(&s.read, t) {
		return nil
	}
	return s.Conn.SetReadDeadline(t)
}

func (s *secure) SetWriteDeadline(t time.Time) error {
	if s.hold(&s.write, t) {
		return nil
	}
	return s.Conn.SetWriteDeadline(t)
}

// hold keeps a deadline until the handshake, which has its own, is over. One
// that has passed is meant to end what is under way.
func (s *secure) hold(at *time.Time, t time.Time) bool {
	if s.ready.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready.Load() || !t.IsZero() && time.Until(t) <= 0 {
		return false
	}
	*at = t
	return true
}

// past is a deadline that ends what is under way.
var past = time.Unix(1, 0)
