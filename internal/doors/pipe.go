package doors

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBytes is how much one end may write before the other reads, about what a
// loopback socket takes.
const pipeBytes = 256 << 10

// Pipe returns the two ends of a buffered connection in memory, with deadlines
// and half-close as TCP has them.
func Pipe(a, b net.Addr) (net.Conn, net.Conn) {
	there, back := newFlow(), newFlow()
	return &end{in: there, out: back, local: a, remote: b}, &end{in: back, out: there, local: b, remote: a}
}

// end is one end of a pipe.
type end struct {
	in, out       *flow
	local, remote net.Addr
}

func (e *end) Read(p []byte) (int, error)  { n, err := e.in.read(p); return n, e.fault("read", err) }
func (e *end) Write(p []byte) (int, error) { n, err := e.out.write(p); return n, e.fault("write", err) }

func (e *end) Close() error {
	e.in.abandon()
	e.out.finish(true)
	return nil
}

// CloseWrite ends what the other end reads, and still reads.
func (e *end) CloseWrite() error {
	e.out.finish(false)
	return nil
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	e.in.reading.set(e.in, t)
	e.out.writing.set(e.out, t)
	return nil
}
func (e *end) SetReadDeadline(t time.Time) error  { e.in.reading.set(e.in, t); return nil }
func (e *end) SetWriteDeadline(t time.Time) error { e.out.writing.set(e.out, t); return nil }

// fault dresses an error as the network's.
func (e *end) fault(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: e.local.Network(), Source: e.local, Addr: e.remote, Err: err}
}

// flow is the bytes on their way in one direction.
type flow struct {
	mu        sync.Mutex
	change    *sync.Cond
	buf       []byte
	finished  bool // no more will be written
	closed    bool // by the writer, who may not write any more
	abandoned bool // by the reader
	reading   alarm
	writing   alarm
}

func newFlow() *flow {
	f := new(flow)
	f.change = sync.NewCond(&f.mu)
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.abandoned:
			return 0, net.ErrClosed
		case f.reading.rung:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(f.buf) > 0:
			n := copy(p, f.buf)
			f.buf = f.buf[n:]
			f.change.Broadcast()
			return n, nil
		case f.finished:
			return 0, io.EOF
		}
		f.change.Wait()
	}
}

func (f *flow) write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.closed:
			return n, net.ErrClosed
		case f.abandoned, f.finished:
			return n, syscall.EPIPE
		case f.writing.rung:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		if room := pipeBytes - len(f.buf); room > 0 {
			k := min(room, len(p))
			f.buf = append(f.buf, p[:k]...)
			n, p = n+k, p[k:]
			f.change.Broadcast()
			continue
		}
		f.change.Wait()
	}
}

// finish ends the flow from the writer's side.
func (f *flow) finish(closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished, f.closed = true, f.closed || closed
	f.writing.stop()
	f.change.Broadcast()
}

// abandon ends the flow from the reader's side.
func (f *flow) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned, f.buf = true, nil
	f.reading.stop()
	f.change.Broadcast()
}

// alarm is a deadline of a flow, under its lock.
type alarm struct {
	rung  bool
	timer *time.Timer
}

func (a *alarm) set(f *flow, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a.stop()
	a.rung = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		a.rung = true
		f.change.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if a.timer == timer {
			a.rung = true
			f.change.Broadcast()
		}
	})
	a.timer = timer
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
