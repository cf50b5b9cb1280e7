package grpcnative

import (
	"encoding/binary"
	"time"
)

// frame hands over a frame, or holds it back.
func (c *conn) frame(f []byte) {
	kind, flags := f[3], f[4]
	id := binary.BigEndian.Uint32(f[5:]) & (1<<31 - 1)
	c.out = f
	switch {
	case len(c.held) == 0:
	case kind == frameContinuation && id == c.stream:
		c.held, c.out = append(c.held, f...), nil
		c.block = append(c.block, f[frameHeader:]...)
		if flags&flagEndHeaders != 0 {
			held, block := c.held, c.block
			c.held, c.block = nil, nil
			c.request(held, block)
		}
		return
	default: // nothing may stand within a header block (RFC 9113, section 6.10)
		c.out, c.held, c.block, c.bare = append(c.held, f...), nil, nil, true
		return
	}
	switch kind {
	case frameHeaders:
		c.headers(f, flags, id)
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
	if !ok || id == 0 {
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
	case err != nil:
		// Neither table is of use from here on. grpc-go ends the connection, as its
		// own might make sense of the block: it gets one that none can read.
		c.out = binary.BigEndian.AppendUint32([]byte{0, 0, 1, frameHeaders, flagEndHeaders}, id)
		c.out = append(c.out, 0x80) // the field at place 0: RFC 7541, section 6.1
		return
	case id <= c.max:
		// The trailers of a request, for which grpc-go would end the connection.
		// What they say means nothing in gRPC: it gets the end alone.
		c.skipped = true
		if c.flags&flagEndStream != 0 {
			c.out = c.end(id)
		} else {
			c.out = c.abort(id)
		}
		return
	case v == foreign && !c.engine.own:
		c.skipped = true
		c.out, c.max = nil, id
		c.refuse(id)
		return
	}
	c.max, c.current = id, id
	switch {
	case c.skipped && v == huge:
		c.out = nil
		c.link.Reset(id, codeFrameSize) // as grpc-go does
	case c.skipped:
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

// abort resets the stream of a request that goes on after its trailers, which is
// malformed (RFC 9113, section 8.1), and returns the frame that says so to grpc-go.
func (c *conn) abort(id uint32) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests[id] == nil {
		return nil
	}
	delete(c.requests, id)
	c.link.Reset(id, codeProtocol)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 0, 4, frameReset, 0}, id), codeProtocol)
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

// fragment returns the part of a HEADERS frame's payload that is header block. The
// wire has the same, which an engine cannot import: it uses the root alone.
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
