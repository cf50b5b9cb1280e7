//go:build !unix

package wire

const canTake = false

func (b *readBuffer) take(uintptr) bool { return true }

func (s *socket) pending() bool { return false }
