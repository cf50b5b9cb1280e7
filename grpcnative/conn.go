package grpcnative

import (
	"encoding/binary"
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

	codeRefused, codeCancel = 7, 8

	// nobody is a stream that no client gets to: what is sent on it counts for
	// the window of the connection alone.
	nobody = 1<<31 - 1

	endedMost = 1000
)

var bufs = sync.Pool{New: func() any { return new([bufBytes]byte) }}

func newConn(e *engine, ec *connectum.EngineConn) *conn {
	c := &conn{EngineConn: ec, link: ec, engine: e, peer: ec.RemoteAddr().String(), streams: e.limits().MaxConcurrentStreams, writeStall: e.limits().WriteStall,
		sniff: newSniffer(of{ec, e}), closed: make(chan struct{}), requests: map[uint32]*stream{}}
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

// SetDeadline implements [net.Conn]. grpc-go bounds its handshake by it.
func (c *conn) SetDeadline(t time.Time) error {
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
	if len(c.held) == 0 && c.due() {
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

// frame hands over a frame, or holds it back.
func (c *conn) frame(f []byte) {
	kind, flags := f[3], f[4]
	id := binary.BigEndian.Uint32(f[5:]) & (1<<31 - 1)
	c.out = f
	switch kind {
	case frameHeaders:
		c.headers(f, flags, id)
	case frameContinuation:
		if len(c.held) > 0 {
			c.held, c.out = append(c.held, f...), nil
			c.block = append(c.block, f[frameHeader:]...)
			if flags&flagEndHeaders != 0 {
				c.request(c.held, c.block)
				c.held, c.block = nil, nil
			}
		}
	case frameData:
		c.data(f, flags, id)
	case frameReset:
		c.mu.Lock()
		delete(c.requests, id)
		delete(c.ended, id)
		c.mu.Unlock()
	}
}

// headers takes a HEADERS frame.
func (c *conn) headers(f []byte, flags byte, id uint32) {
	block, ok := fragment(f[frameHeader:], flags)
	if !ok || len(c.held) > 0 || id == 0 {
		return // grpc-go says what is wrong with it
	}
	c.flags, c.stream = flags, id
	if flags&flagEndHeaders == 0 {
		c.held, c.block, c.out = append([]byte(nil), f...), append([]byte(nil), block...), nil
		return
	}
	c.request(f, block)
}

// request hands a whole header block over, or not.
func (c *conn) request(frames, block []byte) {
	id := c.stream
	c.out = frames
	v, err := c.sniff.judge(block)
	switch {
	case err != nil: // grpc-go says so
		return
	case id <= c.max:
		// The trailers of a request, for which grpc-go would end the connection.
		// What they say means nothing in gRPC: it gets the end alone.
		c.skipped = true
		if c.out = nil; c.flags&flagEndStream != 0 {
			c.out = c.end(id)
		}
		return
	case v == foreign && !c.engine.own:
		c.skipped = true
		c.out, c.max = nil, id
		c.refuse(id)
		return
	}
	c.max, c.current = id, id
	if c.skipped {
		c.out = c.sniff.headers(id, c.flags&flagEndStream)
	}
}

// refuse refuses a request that only net/http can serve, in the way that tells
// clients that it was not looked at, so that they send it again (RFC 9113,
// section 8.7): over another connection, which will be net/http's. The calls of
// this one, and those that come meanwhile, are served.
func (c *conn) refuse(id uint32) {
	c.mu.Lock()
	first := !c.mixed
	c.mixed = true
	c.mu.Unlock()
	if first {
		c.engine.mixed.add(c.link.RemoteAddr())
		c.link.Ask()
		go c.alone()
	}
	c.engine.refused.Add(1)
	c.link.Reset(id, codeRefused)
}

// data takes a DATA frame.
func (c *conn) data(f []byte, flags byte, id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, cut := c.ended[id]; cut {
		binary.BigEndian.PutUint32(f[5:], nobody)
		if flags&flagEndStream != 0 {
			delete(c.ended, id)
		}
		return
	}
	s := c.requests[id]
	if s == nil {
		return
	}
	s.alive()
	if flags&flagEndStream != 0 {
		delete(c.requests, id)
	}
}

// end ends the request of a stream, as the client would, and returns the frame
// that says so, if it has not ended.
func (c *conn) end(id uint32) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests[id] == nil {
		return nil
	}
	delete(c.requests, id)
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, frameData, flagEndStream}, id)
}

// interrupt ends the request of a stream from outside, or the whole stream when
// its answer is stuck.
func (c *conn) interrupt(id uint32, receive, send bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.requests[id]
	switch {
	case send:
		c.inject = binary.BigEndian.AppendUint32(append(c.inject, 0, 0, 4, frameReset, 0), id)
		c.inject = binary.BigEndian.AppendUint32(c.inject, codeCancel)
		c.link.Reset(id, codeCancel)
	case receive && open:
		c.inject = binary.BigEndian.AppendUint32(append(c.inject, 0, 0, 0, frameData, flagEndStream), id)
	default:
		return
	}
	if open {
		delete(c.requests, id)
		if c.ended == nil {
			c.ended = map[uint32]struct{}{}
		}
		c.ended[id] = struct{}{}
	}
	if len(c.ended) > endedMost {
		_ = c.link.Close()
		return
	}
	c.woken = true
	_ = c.link.SetReadDeadline(time.Unix(1, 0))
}

// begin and finish frame the time in which a call can be interrupted.
func (c *conn) begin(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[s.id] = s
	if len(c.requests) <= 2*c.streams {
		return
	}
	for id, s := range c.requests { // grpc-go gave up some before their handlers began
		if s.Err() != nil {
			delete(c.requests, id)
		}
	}
}

func (c *conn) finish(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.requests, s.id)
	delete(c.ended, s.id)
	if s.given && s.Err() == nil {
		c.wait(s.id)
	}
}

// fragment returns the part of a HEADERS frame's payload that is header block.
func fragment(p []byte, flags byte) ([]byte, bool) {
	pad := 0
	if flags&flagPadded != 0 {
		if len(p) < 1 {
			return nil, false
		}
		pad, p = int(p[0]), p[1:]
	}
	if flags&flagPriority != 0 {
		if len(p) < 5 {
			return nil, false
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, false
	}
	return p[:len(p)-pad], true
}
