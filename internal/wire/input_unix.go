//go:build unix

package wire

import (
	"io"
	"os"
	"syscall"
)

const canTake = true

// pending reports whether the peer has sent what nobody has read. It does not
// wait.
func (s *socket) pending() (yes bool) {
	c, ok := s.Conn.(syscall.Conn)
	if !ok || !s.system {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		yes = err == nil && n > 0
	})
	return yes
}

// take reads once, and says whether there is something to tell. It is called
// again when the descriptor has become readable.
func (b *readBuffer) take(fd uintptr) bool {
	b.hold()
	for {
		n, err := syscall.Read(int(fd), b.buf[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			b.release()
			return false
		case err != nil:
			b.release()
			b.err = os.NewSyscallError("read", err)
		case n == 0:
			b.release()
			b.err = io.EOF
		default:
			b.w, b.err = n, nil
		}
		return true
	}
}
