package grpcnative

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/connectum-go/connectum"
)

// conn is what grpc-go reads and writes. It hands over one frame after the
// other, whole, which lets it do two things between them that grpc-go offers no
// way to: to see that a request is not for grpc-go before that sees it, and to
// end the request of a single call.
type conn struct {
	*connectum.EngineConn
	link   link // what of it is read and written here
	engine *engine
	sniff  *sniffer
	peer   string // its address, as calls have it

	// Of the goroutine that reads.
	buf     *[bufBytes]byte // nil while there is nothing in it
	r, w    int
	out     []byte // is to be handed over, before anything else
	held    []byte // a header block that has not ended
	block   []byte // what it says so far
	preface int    // how much of the client's preface has come
	flags   byte   // of the HEADERS frame of held
	stream  uint32
	max     uint32 // the highest stream that grpc-go has seen
	current uint32 // the stream whose header block was handed over last
	skipped bool   // grpc-go's table lacks what was in some header block
	bare    bool   // everything is handed over as it comes: grpc-go will say what is wrong with it
	small   [64]byte

	mu       sync.Mutex
	requests map[uint32]*stream  // those that have not ended
	ended    map[uint32]struct{} // those that were ended from here, while the client may go on sending
	inject   []byte              // frames to hand over at the next place
	woken    bool                // the read deadline is one to wake the reader
	deadline time.Time           // of grpc-go
	mixed    bool                // it carries what only net/http can serve
	alone    func()              // ends the connection gracefully

	outflow

	streams    int           // MaxConcurrentStreams
	writeStall time.Duration // none if not positive
	closed     chan struct{}
	once       sync.Once
	taken      chan struct{} // closed when grpc-go has begun to serve it
	took       sync.Once
	listener   single // that grpc-go has it from
}

// link is the connection below.
type link interface {
	Read(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	RemoteAddr() net.Addr
	Ask()
	Reset(stream, code uint32)
	Close() error
}

const (
	bufBytes    = 32 << 10
	frameHeader = 9
	frameMost   = 16 << 10 // SETTINGS_MAX_FRAME_SIZE, as grpc-go tells it
	prefaceLen  = 24

	frameData, frameHeaders, frameReset, frameContinuation = 0, 1, 3, 9

	flagEndStream, flagEndHeaders, flagPadded, flagPriority = 1, 4, 8, 32

	codeProtocol, codeFrameSize, codeRefused, codeCancel = 1, 6, 7, 8

	// nobody is a stream that no client gets to: what is sent on it counts for
	// the window of the connection alone.
	nobody = 1<<31 - 1

	endedMost = 1000
)

var bufs = sync.Pool{New: func() any { return new([bufBytes]byte) }}

func newConn(e *engine, ec *connectum.EngineConn) *conn {
	c := &conn{EngineConn: ec, link: ec, engine: e, peer: ec.RemoteAddr().String(), streams: e.limits().MaxConcurrentStreams, writeStall: e.limits().WriteStall,
		sniff: newSniffer(of{ec, e}, e.limits().MaxHeaderBytes), closed: make(chan struct{}), taken: make(chan struct{}), requests: map[uint32]*stream{}}
	c.listener = single{conn: c, shut: make(chan struct{})}
	return c
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		_ = c.listener.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.timer != nil {
			c.timer.Stop()
		}
	})
	return c.link.Close()
}

// leave has grpc-go end the connection gracefully, which it would close unserved if
// it were told before it serves it.
func (c *conn) leave(gracefully func()) {
	select {
	case <-c.taken:
	case <-c.closed:
	}
	gracefully()
}

// SetDeadline implements [net.Conn]. grpc-go bounds its handshake by it, as the
// first thing that it does.
func (c *conn) SetDeadline(t time.Time) error {
	c.took.Do(func() { close(c.taken) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.woken {
		return nil
	}
	return c.link.SetReadDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	if c.out = c.out[n:]; len(c.out) == 0 && c.r == c.w {
		c.release()
	}
	return n, nil
}

// next finds something to hand over, or sees to something that is not.
func (c *conn) next() error {
	if c.due() {
		return nil
	}
	have := c.w - c.r
	switch {
	case c.preface < prefaceLen: // which is no frame
		if have == 0 {
			return c.fill()
		}
		n := min(have, prefaceLen-c.preface)
		c.out = c.buf[c.r : c.r+n]
		c.r += n
		c.preface += n
	case c.bare:
		if have == 0 {
			return c.fill()
		}
		c.out = c.buf[c.r:c.w]
		c.r = c.w
	case have < frameHeader:
		return c.fill()
	default:
		head := c.buf[c.r:c.w]
		n := frameHeader + (int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		switch {
		case n > frameHeader+frameMost:
			c.bare = true
		case have < n:
			return c.fill()
		default:
			c.r += n
			c.frame(head[:n])
		}
	}
	return nil
}

// due takes what others want handed over.
func (c *conn) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inject) == 0 {
		return false
	}
	c.out, c.inject = c.inject, nil
	c.calm()
	return true
}

// calm undoes a wake. c.mu must be held.
func (c *conn) calm() {
	if c.woken {
		c.woken = false
		_ = c.link.SetReadDeadline(c.deadline)
	}
}

// fill reads more. It holds no buffer while it waits for a frame to begin.
func (c *conn) fill() error {
	if c.buf == nil {
		n, err := c.link.Read(c.small[:])
		if n == 0 {
			return c.failed(err)
		}
		c.buf, c.r = bufs.Get().(*[bufBytes]byte), 0
		c.w = copy(c.buf[:], c.small[:n])
		return nil
	}
	if c.r > 0 {
		c.w = copy(c.buf[:], c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.link.Read(c.buf[c.w:])
	c.w += n
	if n == 0 {
		return c.failed(err)
	}
	return nil
}

// failed looks at the error of a read, which may be only to wake the reader.
func (c *conn) failed(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.woken {
			c.calm()
			return nil
		}
	}
	c.release()
	return err
}

func (c *conn) release() {
	if c.buf != nil {
		bufs.Put(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}
