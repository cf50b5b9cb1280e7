package wire

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// readDeadline is the deadline of a connection's reads. It reaches the socket
// when a read meets it: of the six that net/http sets for each request over
// HTTP/1.1 most are replaced before it reads again, and each is a timer of the
// runtime.
//
// Times are nanoseconds of the Listener.
type readDeadline struct {
	at      atomic.Int64 // as it was asked for; or none, or one of those that have passed
	told    atomic.Int64 // as the socket knows it
	reading atomic.Int32 // reads under way
	telling sync.Mutex
}

const (
	none        = 0  // no deadline
	interrupted = -1 // it had passed when it was set: it is no timeout
	spent       = -2 // nothing more is to be read
)

// set keeps at, and hands it on where a read is under way.
func (d *readDeadline) set(conn net.Conn, start time.Time, at int64) error {
	d.at.Store(at)
	if d.reading.Load() == 0 {
		return nil // begin finds it, as it looks after it has counted itself
	}
	return d.tell(conn, start)
}

// begin is called before a read, and end after it. It reports whether to read.
//
// Where early holds, the socket may still have a deadline before the one that was
// asked for: the read then asks again. A connection in use that is asked to wait a
// little longer with each request so costs no timer.
func (d *readDeadline) begin(conn net.Conn, start time.Time, early bool) bool {
	d.reading.Add(1)
	switch at, told := d.at.Load(), d.told.Load(); {
	case at == told && at >= none || early && told > none && (at == none || told < at):
	case at < none:
		d.end()
		return false
	default:
		_ = d.tell(conn, start) // the socket is closed: the read says so
	}
	return true
}

func (d *readDeadline) end() { d.reading.Add(-1) }

// again reports whether a read that the socket has ended at its deadline was too
// early, and is to go on.
func (d *readDeadline) again(conn net.Conn, start time.Time) bool {
	switch at := d.at.Load(); {
	case at < none || at == d.told.Load() || at > none && at <= int64(time.Since(start)):
		return false
	default:
		return d.tell(conn, start) == nil
	}
}

// tell hands on what was asked for last.
func (d *readDeadline) tell(conn net.Conn, start time.Time) error {
	d.telling.Lock()
	defer d.telling.Unlock()
	at := d.at.Load()
	if at == d.told.Swap(at) {
		return nil
	}
	switch {
	case at < none:
		return conn.SetReadDeadline(past)
	case at == none:
		return conn.SetReadDeadline(time.Time{})
	default:
		return conn.SetReadDeadline(start.Add(time.Duration(at)))
	}
}
