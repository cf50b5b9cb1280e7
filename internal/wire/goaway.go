package wire

import (
	"errors"
	"time"
)

// goAway is what a connection is still to be told. net/http sends one GOAWAY
// that already names the last stream, so that a stream which crosses it on the
// wire is lost (golang/go#78968). RFC 9113, section 6.8, has two: the first, of
// ours, names the highest stream there can be and only asks the client to move
// on; when it has, net/http's own loses nothing. A PING behind it, which the client
// acknowledges, tells that: see [Listener.CloseIdle].
type goAway struct {
	ask   bool // the first frame is wanted
	later bool // but only after an answer
	asked bool
	last  bool // an ending frame is wanted: lastID and code
	ended bool

	lastID, code uint32

	others []byte // further frames that are wanted
}

// due reports whether a frame waits for a place.
func (g *goAway) due() bool { return g.ask && !g.asked || g.last && !g.ended || len(g.others) > 0 }

// ask tells the client to open no further streams; with later, only when it has
// been served once: one that just came would come back at once.
func (q *queue) ask(later bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away.later = later && (q.away.later || !q.away.ask)
	q.away.ask = true
	q.tell()
}

// end tells the client that no stream above last was, or will be, looked at.
func (q *queue) end(last, code uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.away.last {
		q.away.last, q.away.lastID, q.away.code = true, last, code
		q.tell()
	}
}

// awaitEnd waits until the frame of end stands among those to be sent, but for no
// longer than d. net/http hands over half frames, too, and when its next Read
// fails it never hands over the other half: there would be no place.
func (q *queue) awaitEnd(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	over := time.Now().Add(d)
	defer time.AfterFunc(d, q.wake).Stop()
	for !q.away.ended && !q.closed && q.err == nil && time.Now().Before(over) {
		q.changed.Wait()
	}
}

// tell queues the frames that are due, if this is the place.
func (q *queue) tell() {
	g := &q.away
	if !g.due() || q.closed || q.through || !q.out.legal() {
		return
	}
	if len(g.others) > 0 {
		q.hold(g.others)
		g.others = nil
	}
	var frame [2 * goAwayBytes]byte
	if g.last && !g.ended {
		g.ended, g.asked = true, true
		q.changed.Broadcast()
		q.hold(appendGoAway(frame[:0], g.lastID, g.code))
	} else if g.ask && !g.asked && (!g.later || q.out.answered) {
		g.asked = true
		q.hold(appendLeave(frame[:0]))
		q.out.leaving = true
		q.out.ping(q.sent)
	}
	q.schedule()
}

// insertMax bounds what insert lets wait: ten thousand frames, as net/http does, and
// what a Write has left.
const insertMax = 10_000*(headerBytes+4) + writeBytes

var errUntaken = errors.New("the peer takes no frames")

// insert sends a frame of ours at the next place. It does not wait, so that a peer
// who provokes frames and takes none is cut.
func (q *queue) insert(frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return
	}
	if len(q.away.others)+len(q.buf)+len(frame) > insertMax {
		q.err = errUntaken
		q.changed.Broadcast()
		_ = q.sock.Close() // which ends a write under way
		q.settle()
		return
	}
	q.away.others = append(q.away.others, frame...)
	q.tell()
}
