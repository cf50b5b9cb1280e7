package grpcnative

import (
	"encoding/binary"
	"time"
)

// outflow follows what grpc-go writes. When a handler has returned, its answer
// waits in grpc-go for a client that takes it; nothing there bounds for how long,
// and how much memory it holds.
type outflow struct {
	head [frameHeader]byte
	have int // bytes of head that have come
	left int // bytes of payload still to come

	// Guarded by conn.mu.
	ending map[uint32]time.Duration // streams whose handlers have returned, and when something last went out, since epoch
	epoch  time.Time
	timer  *time.Timer
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.EngineConn.Write(p)
	c.follow(p[:n])
	return n, err
}

// follow looks at the headers of the frames in p.
func (c *conn) follow(p []byte) {
	o := &c.outflow
	now := time.Duration(-1) // not known yet
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		if n := min(o.left, len(p)); n > 0 {
			o.left -= n
			p = p[n:]
			continue
		}
		k := copy(o.head[o.have:], p)
		o.have, p = o.have+k, p[k:]
		if o.have < frameHeader {
			return
		}
		o.have = 0
		o.left = int(o.head[0])<<16 | int(o.head[1])<<8 | int(o.head[2])
		switch kind := o.head[3]; kind {
		case frameData, frameHeaders, frameReset:
			id := binary.BigEndian.Uint32(o.head[5:])
			if _, ok := c.ending[id]; !ok {
			} else if kind == frameReset || o.head[4]&flagEndStream != 0 {
				delete(c.ending, id)
			} else {
				if now < 0 {
					now = time.Since(o.epoch)
				}
				c.ending[id] = now
			}
		}
	}
}

// wait bounds the time in which the client takes nothing of an answer whose
// handler has returned. c.mu must be held.
func (c *conn) wait(id uint32) {
	if c.writeStall <= 0 {
		return
	}
	if c.ending == nil {
		c.ending, c.epoch = map[uint32]time.Duration{}, time.Now()
	}
	c.ending[id] = time.Since(c.epoch)
	if c.timer == nil {
		c.timer = time.AfterFunc(c.writeStall, c.sweep)
	}
}

// sweep resets the streams that are stuck, and comes again while there are any.
func (c *conn) sweep() {
	select {
	case <-c.closed:
		return
	default:
	}
	c.mu.Lock()
	var stuck []uint32
	next, now := c.writeStall, time.Since(c.epoch)
	for id, since := range c.ending {
		if left := c.writeStall - (now - since); left > 0 {
			next = min(next, left)
		} else {
			stuck = append(stuck, id)
			delete(c.ending, id)
		}
	}
	if c.timer = nil; len(c.ending) > 0 {
		c.timer = time.AfterFunc(max(next, 100*time.Millisecond), c.sweep)
	}
	c.mu.Unlock()
	for _, id := range stuck {
		c.interrupt(id, false, true)
	}
}
