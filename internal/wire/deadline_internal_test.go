package wire

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline meets the read under way and the next one, the last that was set
// alone, and a socket hears of those alone that a read meets. See also
// conformance/frames for the suite of the Go project.
func TestDeadlinesMeetTheReadsThatTheyAreFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		raw, peer := net.Pipe()
		defer peer.Close()
		sock := &heard{Conn: raw}
		c := Listen(nil, Config{}).newConn(sock)
		defer c.Close()
		read := func() <-chan error {
			ended := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		begun := time.Now()
		for _, d := range []time.Duration{time.Second, time.Minute, time.Hour} {
			_ = c.SetReadDeadline(begun.Add(d))
		}
		if sock.deadlines != 0 {
			t.Errorf("the socket heard of %d deadlines before a read", sock.deadlines)
		}
		first := read()
		if sock.deadlines != 1 {
			t.Errorf("the socket heard of %d deadlines, want the last alone", sock.deadlines)
		}
		_ = c.SetReadDeadline(begun.Add(time.Minute)) // under way
		if err := <-first; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("a deadline set during a read: %v after %v", err, time.Since(begun))
		}
		if err := <-read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read after the deadline: %v", err)
		}
		_ = c.SetReadDeadline(time.Time{})
		second := read()
		_ = c.SetReadDeadline(past)
		if err := <-second; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("an interrupt: %v after %v", err, time.Since(begun))
		}
	})
}

// heard counts the deadlines that it hears of.
type heard struct {
	net.Conn
	deadlines int
}

func (h *heard) SetReadDeadline(t time.Time) error {
	h.deadlines++
	return h.Conn.SetReadDeadline(t)
}
