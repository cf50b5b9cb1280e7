package wire

import (
	"encoding/binary"
	"net/http"
	"time"
)

// Greeting says how [Conn.Greet] receives a peer.
type Greeting struct {
	// Begin bounds the time until the peer has begun HTTP/2 or sent the first
	// byte of something else, and the time it takes for a header block; the TLS
	// handshake is not part of it. Idle bounds the wait for the first request of
	// a peer that speaks HTTP/2. Zero means none.
	Begin, Idle time.Duration

	// MaxHeaderBytes and MaxStreams are told to the peer as what will be in
	// force, whoever serves it. They must not be zero.
	MaxHeaderBytes, MaxStreams int
}

// Greet receives the peer as far as its first request, and returns the header
// block of that (RFC 7541, the first of the connection) when it is one of
// HTTP/2. It returns no block and no error for everything else: HTTP/1.1, and
// what is no sound beginning of HTTP/2. All that came is then still to be read
// from c, by whoever serves it.
//
// A client may wait for the server's SETTINGS before it sends a request, and may
// send none for long. So Greet sends some, answers the client's, and PINGs;
// whoever serves c sends its own after that, as second ones, and neither sees
// nor sends an acknowledgement too many.
//
// It must be called before the first Read. When it returns an error, which is
// the connection's, c has to be closed.
func (c *Conn) Greet(g Greeting) ([]byte, error) {
	in := greeter{Greeting: g, conn: c, most: g.MaxHeaderBytes + 2*readBytes, buf: make([]byte, 0, 1<<10)}
	began := time.Now()
	if g.Begin > 0 {
		_ = c.SetReadDeadline(began.Add(g.Begin))
	}
	for {
		if cap(in.buf)-len(in.buf) < 256 {
			in.buf = append(make([]byte, 0, 2*cap(in.buf)), in.buf...)
		}
		n, err := c.Read(in.buf[len(in.buf):min(cap(in.buf), len(in.buf)+8<<10)])
		in.buf = in.buf[:len(in.buf)+n]
		if c.session.Load() == nil && c.matched == known { // HTTP/1.1, or a TLS peer's mistake
			c.early = &early{buf: in.buf, err: err}
			if g.Begin > 0 {
				c.headBy = began.Add(g.Begin + c.shook()) // the header is bounded as a whole
			}
			return nil, nil
		}
		if err == nil && c.session.Load() != nil {
			err = in.look()
		}
		switch {
		case err != nil && !in.done:
			return nil, err
		case in.done:
			_ = c.SetReadDeadline(time.Time{})
			c.early = &early{ackFilter: ackFilter{owed: in.owed}}
			c.early.keep(in.buf)
			if in.greeted {
				c.mask = &ackFilter{owed: true}
			}
			c.become(http.StateActive)
			return in.block, nil
		}
	}
}

// become tells the register what the connection does, where net/http does not.
func (c *Conn) become(s http.ConnState) { c.l.ConnState(c, s) }

// Become is for those who serve c in place of net/http: whether it carries a
// request.
func (c *Conn) Become(active bool) {
	if active {
		c.become(http.StateActive)
	} else {
		c.become(http.StateIdle)
	}
}

// greeter looks at what a peer sends first.
type greeter struct {
	Greeting
	conn    *Conn
	buf     []byte    // all that came, but for what was answered
	at      int       // how much of it has been looked at
	most    int       // how much of it may come
	greeted bool      // the client's SETTINGS have come and were answered
	owed    bool      // our SETTINGS have not been acknowledged
	inside  bool      // a header block that goes on
	waiting bool      // nothing is under way: the idle time counts
	idleBy  time.Time // when that is over; zero: it has not begun
	block   []byte    // of the first request
	done    bool
}

// look takes every whole frame that has come.
func (in *greeter) look() error {
	if in.at == 0 {
		if len(in.buf) < len(preface) {
			return nil
		}
		in.at = len(preface)
	}
	for !in.done && len(in.buf)-in.at >= headerBytes {
		head := in.buf[in.at:]
		n := headerBytes + (int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		if n-headerBytes > readBytes {
			in.pass()
			return nil
		}
		if len(head) < n {
			break
		}
		if err := in.frame(head[:n]); err != nil {
			return err
		}
	}
	if !in.done && len(in.buf) > in.most {
		in.pass()
	}
	return in.wait()
}

// wait sets the deadline for what is to come.
func (in *greeter) wait() error {
	idle := in.greeted && !in.inside && in.at == len(in.buf)
	if in.done || idle == in.waiting {
		return nil
	}
	in.waiting = idle
	if !idle {
		in.conn.become(http.StateActive)
		return in.conn.SetReadDeadline(after(in.Begin))
	}
	in.conn.become(http.StateIdle)
	if in.idleBy.IsZero() { // what is no request does not make it longer
		in.idleBy = after(in.Idle)
	}
	return in.conn.SetReadDeadline(in.idleBy)
}

// after is a deadline; none if d is not positive.
func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// pass leaves what came to net/http, which knows what to say to it.
func (in *greeter) pass() { in.block, in.done = nil, true }

// frame takes one frame.
func (in *greeter) frame(f []byte) error {
	kind, flags, stream := f[3], f[4], binary.BigEndian.Uint32(f[5:])&lastStreamMax
	p := f[headerBytes:]
	switch {
	case !in.greeted:
		if kind != frameSettings || flags&flagAck != 0 || stream != 0 || len(p)%6 != 0 {
			in.pass()
			return nil
		}
		in.at += len(f)
		in.greeted, in.owed = true, true
		return in.greet()
	case in.inside:
		if kind != frameContinuation {
			in.pass()
			return nil
		}
		in.block = append(in.block, p...)
		in.inside = flags&flagEndHeaders == 0
		in.done = !in.inside
	case kind == frameHeaders:
		block, ok := fragment(p, flags)
		if !ok || stream == 0 {
			in.pass()
			return nil
		}
		in.block = append(make([]byte, 0, len(block)), block...)
		in.inside = flags&flagEndHeaders == 0
		in.done = !in.inside
	case kind == frameSettings && flags&flagAck != 0 && len(p) == 0 && in.owed:
		in.owed = false
		in.cut(len(f))
		return nil
	case kind == framePing && flags&flagAck == 0 && len(p) == 8 && stream == 0:
		pong := append([]byte{0, 0, 8, framePing, flagAck, 0, 0, 0, 0}, p...)
		in.cut(len(f))
		_, err := in.conn.write(pong)
		return err
	case kind == frameWindow || kind == framePriority || kind > frameContinuation:
	default:
		in.pass()
		return nil
	}
	in.at += len(f)
	return nil
}

// cut takes the frame at hand out of what came.
func (in *greeter) cut(n int) {
	in.buf = append(in.buf[:in.at], in.buf[in.at+n:]...)
}

// greet sends our SETTINGS and acknowledges the client's.
func (in *greeter) greet() error {
	f := []byte{0, 0, 12, frameSettings, 0, 0, 0, 0, 0}
	f = binary.BigEndian.AppendUint16(f, settingMaxStreams)
	f = binary.BigEndian.AppendUint32(f, uint32(in.MaxStreams))
	f = binary.BigEndian.AppendUint16(f, settingMaxHeaderList)
	f = binary.BigEndian.AppendUint32(f, uint32(in.MaxHeaderBytes))
	_, err := in.conn.write(append(f, 0, 0, 0, frameSettings, flagAck, 0, 0, 0, 0))
	return err
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

// ackFilter takes the first acknowledgement of SETTINGS out of a sequence of
// frames.
type ackFilter struct {
	scanner
	owed bool
}

// strip appends p to dst, without the acknowledgement that is owed. A frame
// header that is not whole yet waits for the rest of it.
func (f *ackFilter) strip(dst, p []byte) []byte {
	for len(p) > 0 {
		n := min(f.left, len(p))
		dst = append(dst, p[:n]...)
		k, whole := f.next(p)
		p = p[k:]
		switch {
		case !whole:
		case f.kind() == frameSettings && f.has(flagAck) && f.left == 0:
			f.owed = false
			return append(dst, p...)
		default:
			dst = append(dst, f.head[:]...)
		}
	}
	return dst
}

// early is what [Conn.Greet] has read before others do.
type early struct {
	ackFilter        // what the peer still has to acknowledge
	buf       []byte // to be read
	err       error  // after buf
	chunk     []byte
}

// keep takes what came, from the preface on.
func (e *early) keep(p []byte) {
	if !e.owed {
		e.buf = p
		return
	}
	n := min(len(preface), len(p))
	e.buf = e.strip(append(make([]byte, 0, len(p)+headerBytes), p[:n]...), p[n:])
}

// read is net.Conn.Read as long as there is something to see to.
func (e *early) read(c *Conn, p []byte) (int, error) {
	for len(e.buf) == 0 {
		if err := e.err; err != nil {
			e.err = nil
			return 0, err
		}
		if !e.owed {
			c.early = nil
			return c.read(p)
		}
		if e.chunk == nil {
			e.chunk = make([]byte, 512)
		}
		n, err := c.read(e.chunk)
		e.buf, e.err = e.strip(e.buf, e.chunk[:n]), err
	}
	n := copy(p, e.buf)
	e.buf = e.buf[n:]
	return n, nil
}

// writeMasked is net.Conn.Write until the acknowledgement that Greet has sent
// comes from whoever serves the connection.
func (c *Conn) writeMasked(p []byte) (int, error) {
	m := c.mask
	out := m.strip(make([]byte, 0, len(p)+headerBytes), p)
	if !m.owed {
		c.mask = nil
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if n, err := c.write(out); err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}
