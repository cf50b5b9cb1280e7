package wire

import (
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	largeWrite = 16 << 10        // from here on a copy costs more than a system call of its own
	smallWrite = 1 << 10         // below it, yielding once more may make a batch of the next one
	queueMax   = writeBytes - 96 // leaves room for the GOAWAY frames and the PING, which never wait
)

// queue is the write side of an HTTP/2 connection. Write only copies; a
// goroutine that lives while there is something to send, and yields once before
// it sends, writes what has come together. net/http writes the HEADERS, DATA and
// trailers of each answer apart, so that is many frames to a system call.
//
// Write may be called by one goroutine at a time, as net/http's HTTP/2 does.
type queue struct {
	sock  *socket  // the raw connection
	conn  net.Conn // what to write to: sock, or TLS over it
	batch bool     // false: every Write goes straight through
	sent  *sentData
	done  func(error) // called once: closed and everything sent, or broken

	mu        sync.Mutex
	changed   sync.Cond // a write has ended, or deadline, closed, err or away.ended have changed
	buf       []byte    // waits to be sent; from writePool, or nil
	out       outgoing  // has seen all that was ever put in buf, or written past it
	away      goAway
	scheduled bool // flush runs, or is about to
	writing   bool // somebody writes to conn
	through   bool // and what he writes is not in out yet
	deadline  time.Time
	budget    time.Duration // how far away deadline was when it was set
	closed    bool
	err       error

	vec     [2][]byte // for large writes: what waits, and the large one
	vectors net.Buffers
}

func newQueue(sock *socket, conn net.Conn, batch bool, sent *sentData, done func(error)) *queue {
	q := &queue{sock: sock, conn: conn, batch: batch, sent: sent, done: done}
	q.changed.L = &q.mu
	return q
}

// Write queues p, or writes it if it is large. An error of bytes queued earlier
// is returned by the next Write. A deadline bounds how long the connection may
// take no byte at all, now or after Write has returned.
func (q *queue) Write(p []byte) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sock.stall.Store(int64(q.budget))
	for n < len(p) {
		part := p[n:]
		if q.away.due() {
			part = part[:q.out.until(part)]
		}
		k, err := q.put(part)
		n += k
		q.out.follow(part[:k], q.sent)
		q.tell()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// put takes some of p.
func (q *queue) put(p []byte) (int, error) {
	large := !q.batch || len(p) >= largeWrite
	stuck := stall{moved: q.sock.moved.Load()}
	for q.err == nil && !q.closed && (large && q.writing || len(q.buf) >= queueMax) {
		if err := q.wait(&stuck); err != nil {
			return 0, err
		}
	}
	switch {
	case q.err != nil:
		return 0, q.err
	case q.closed:
		return 0, net.ErrClosed
	case large:
		n := len(q.buf)
		sent, err := q.send(p)
		return max(int(sent)-n, 0), err
	}
	n := min(len(p), queueMax-len(q.buf))
	q.hold(p[:n])
	q.schedule()
	return n, nil
}

// stall is what a Write that waits has seen of the one under way.
type stall struct {
	moved int64 // bytes that had gone out
	over  int   // deadlines that have passed since they became more
}

// wait waits for changed, or for the deadline, which begins anew when bytes have
// gone out meanwhile. The write under way, which has the same time without
// progress, may have begun later; so it is the second one in a row that counts.
func (q *queue) wait(s *stall) error {
	if !q.deadline.IsZero() {
		left := time.Until(q.deadline)
		if left <= 0 {
			if moved := q.sock.moved.Load(); moved != s.moved {
				*s = stall{moved: moved}
			} else if s.over++; s.over > 1 || q.budget <= 1 {
				return os.ErrDeadlineExceeded
			}
			left = q.budget
			q.deadline = time.Now().Add(left)
		}
		defer time.AfterFunc(left, q.wake).Stop()
	}
	q.changed.Wait()
	return nil
}

func (q *queue) wake() {
	q.mu.Lock() // or the waiter could miss it between its look at the clock and its sleep
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// hold appends p to what waits.
func (q *queue) hold(p []byte) {
	if q.buf == nil {
		q.buf = writePool.Get().(*[writeBytes]byte)[:0]
	}
	q.buf = append(q.buf, p...)
}

func (q *queue) schedule() {
	if !q.scheduled && !q.writing && len(q.buf) > 0 && q.err == nil {
		q.scheduled = true
		go q.flush()
	}
}

// flush sends what waits, until nothing does.
func (q *queue) flush() {
	runtime.Gosched() // let those that are about to write do so first
	q.mu.Lock()
	for len(q.buf) > 0 && !q.writing && q.err == nil {
		small := len(q.buf) < smallWrite
		_, _ = q.send(nil)
		if small {
			q.mu.Unlock()
			runtime.Gosched()
			q.mu.Lock()
		}
	}
	q.scheduled = false
	q.settle()
	q.mu.Unlock()
}

// send writes what waits and then p, without the lock. Nobody else may be writing.
func (q *queue) send(p []byte) (n int64, err error) {
	head := q.buf
	q.buf, q.writing, q.through = nil, true, len(p) > 0
	q.mu.Unlock()
	switch {
	case len(p) == 0:
		n, err = q.write(head)
	case len(head) == 0:
		n, err = q.write(p)
	case q.sock.system && q.conn == net.Conn(q.sock):
		q.vec = [2][]byte{head, p}
		q.vectors = q.vec[:]
		n, err = q.sock.WriteBuffers(&q.vectors)
		q.vec = [2][]byte{}
	default:
		if n, err = q.write(head); err == nil {
			var k int64
			k, err = q.write(p)
			n += k
		}
	}
	if head != nil {
		writePool.Put((*[writeBytes]byte)(head[:writeBytes]))
	}
	q.mu.Lock()
	q.writing, q.through = false, false
	if err != nil && q.err == nil {
		q.err = err
	}
	q.changed.Broadcast()
	q.schedule() // a GOAWAY may have come meanwhile
	q.settle()
	return n, err
}

func (q *queue) write(p []byte) (int64, error) {
	n, err := q.conn.Write(p)
	return int64(n), err
}

// settle ends the connection when it is broken, or closed and all is sent.
func (q *queue) settle() {
	over := q.err != nil || q.closed && len(q.buf) == 0 && !q.scheduled
	if over && !q.writing && q.done != nil {
		done := q.done
		q.done = nil
		go done(q.err)
	}
}

// setDeadline sets the deadline of the Writes to come, and of one that waits.
func (q *queue) setDeadline(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deadline, q.budget = t, 0
	if !t.IsZero() {
		if q.budget = time.Until(t); q.budget <= 0 { // to unblock a Write under way
			q.budget = 1
			q.sock.cut(t)
		}
	}
	q.changed.Broadcast()
}

// close refuses further Writes and reports whether nothing is left to send. If
// something is, done is called when it is sent.
func (q *queue) close() (empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
	if q.err != nil || !q.writing && !q.scheduled && len(q.buf) == 0 {
		q.done = nil
		return true
	}
	return false
}
