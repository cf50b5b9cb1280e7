//go:build unix

package wire

import (
	"io"
	"os"
	"syscall"
)

const canTake = true

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
