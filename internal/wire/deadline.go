package wire

import (
	"net"
	"sync"
	"time"
)

// readDeadline is the deadline of a connection's reads. It reaches the socket
// when a read meets it: of the four that net/http sets for each request over
// HTTP/1.1 most are replaced before it reads again, and each is a timer of the
// runtime.
type readDeadline struct {
	mu      sync.Mutex
	at      time.Time
	due     bool // the socket does not know of at yet
	reading int  // reads under way
}

// set keeps t, or hands it on at once where a read is under way or t ends what
// comes next.
func (d *readDeadline) set(conn net.Conn, t time.Time, passed bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.due = t, d.reading == 0 && !passed
	if d.due {
		return nil
	}
	return conn.SetReadDeadline(t)
}

// begin is called before a read, and end after it.
func (d *readDeadline) begin(conn net.Conn) {
	d.mu.Lock()
	d.reading++
	if d.due {
		d.due = false
		_ = conn.SetReadDeadline(d.at) // the socket is closed: the read says so
	}
	d.mu.Unlock()
}

func (d *readDeadline) end() {
	d.mu.Lock()
	d.reading--
	d.mu.Unlock()
}
