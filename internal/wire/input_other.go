//go:build !unix && !windows

package wire

// Where the system says nothing of what a socket holds (Plan 9, WebAssembly),
// a busy machine may take what came in time for late, and a drain may close a
// connection whose next request has come but is not read.
const canTake = false

func (b *readBuffer) take(uintptr) bool { return true }

func (s *socket) pending() bool { return false }
