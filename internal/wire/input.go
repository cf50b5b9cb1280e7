package wire

import (
	"net"
	"syscall"
)

// readBuffer reads more than it is asked for, since net/http's HTTP/2 asks for
// every frame header and every payload apart. On a TCP or Unix socket it holds
// no memory while it waits: the buffer is taken when there is something to read.
type readBuffer struct {
	conn net.Conn
	raw  syscall.RawConn       // nil: conn cannot be read without a buffer at hand
	try  func(fd uintptr) bool // b.take, bound once
	buf  *[readBytes]byte
	r, w int
	err  error // of the last take
}

func newReadBuffer(s *socket) *readBuffer {
	b := &readBuffer{conn: s.Conn}
	if c, ok := s.Conn.(syscall.Conn); ok && s.system && canTake {
		if raw, err := c.SyscallConn(); err == nil {
			b.raw, b.try = raw, b.take
		}
	}
	return b
}

func (b *readBuffer) empty() bool { return b.r == b.w }
func (b *readBuffer) bytes() []byte {
	if b.buf == nil {
		return nil
	}
	return b.buf[b.r:b.w]
}

// fill waits for bytes. The buffer must be empty.
func (b *readBuffer) fill() (err error) {
	if b.raw != nil {
		if err = b.raw.Read(b.try); err == nil {
			err = b.err
		}
		return err
	}
	b.hold()
	b.w, err = b.conn.Read(b.buf[:])
	if b.w > 0 {
		return nil
	}
	return err
}

// read hands out what is there.
func (b *readBuffer) read(p []byte) int {
	n := copy(p, b.bytes())
	if b.r += n; b.empty() {
		b.release()
	}
	return n
}

func (b *readBuffer) hold() {
	b.buf, b.r, b.w = readPool.Get().(*[readBytes]byte), 0, 0
}

func (b *readBuffer) release() {
	if b.buf != nil {
		readPool.Put(b.buf)
	}
	b.buf, b.r, b.w = nil, 0, 0
}
