package wire

import (
	"errors"
	"net"
	"net/http"
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

// A connection in use does not tell its socket of each deadline that is later than
// the one before, nor of an interrupt that no read is under way for; it keeps each to
// the moment.
func TestALaterDeadlineCostsAConnectionInUseNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		raw, peer := net.Pipe()
		defer peer.Close()
		sock := &heard{Conn: raw}
		c := Listen(nil, Config{}).newConn(sock)
		defer c.Close()
		c.state.Store(int32(http.StateIdle))
		buf := make([]byte, 1)
		begun := time.Now()
		for i := range 100 {
			_ = c.SetReadDeadline(begun.Add(time.Minute + time.Duration(i)*time.Second))
			go func() { _, _ = peer.Write(buf) }()
			if n, err := c.Read(buf); n != 1 || err != nil {
				t.Fatalf("read %d: %d, %v", i, n, err)
			}
			_ = c.SetReadDeadline(past) // as net/http ends its background read
			if n, err := c.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.expecting() {
				t.Fatalf("an interrupt: %d, %v", n, err)
			}
			if err, ok := error(os.ErrDeadlineExceeded).(net.Error); !ok || !err.Timeout() {
				t.Fatalf("net/http takes %v for an end of the connection", err)
			}
			_ = c.SetReadDeadline(time.Time{})
		}
		if sock.deadlines != 1 {
			t.Errorf("the socket heard of %d deadlines, want the first alone", sock.deadlines)
		}
		for _, d := range []time.Duration{2 * time.Hour, 3 * time.Hour, 4 * time.Hour} {
			_ = c.SetReadDeadline(begun.Add(d))
			if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != d {
				t.Errorf("a deadline after %v: %v after %v", d, err, time.Since(begun))
			}
		}
		_ = c.SetReadDeadline(begun.Add(6 * time.Hour))
		go func() { _, _ = peer.Write(buf) }()
		_, _ = c.Read(buf)
		_ = c.SetReadDeadline(begun.Add(5 * time.Hour))
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 5*time.Hour {
			t.Errorf("an earlier deadline: %v after %v", err, time.Since(begun))
		}
		_ = c.SetReadDeadline(begun.Add(6 * time.Hour))
		go func() { _, _ = peer.Write(buf) }()
		_, _ = c.Read(buf)
		_ = c.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(7 * time.Hour)
			_, _ = peer.Write(buf)
		}()
		if n, err := c.Read(buf); n != 1 || err != nil || time.Since(begun) != 12*time.Hour {
			t.Errorf("no deadline any more: %d, %v after %v", n, err, time.Since(begun))
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
