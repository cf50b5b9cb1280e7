package wire

import (
	"syscall"
	"unsafe"
)

// A read of nothing that has come would block a socket of Windows, so that a
// buffer has to be at hand while a connection waits.
const canTake = false

func (b *readBuffer) take(uintptr) bool { return true }

// fionread asks how many bytes can be read (winsock2.h).
const fionread = 0x4004667f

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
		var n, size uint32
		err := syscall.WSAIoctl(syscall.Handle(fd), fionread, nil, 0,
			(*byte)(unsafe.Pointer(&n)), uint32(unsafe.Sizeof(n)), &size, nil, 0)
		yes = err == nil && n > 0
	})
	return yes
}
