// Package stack makes room on the stacks of goroutines that serve one call.
package stack

// Grow has the calling goroutine's stack grow to 8 KiB, if it is smaller.
//
// A goroutine begins with 2 KiB, and each time its stack doubles, every frame on
// it is looked up and moved: with a dozen frames that is a tenth of what a small
// call costs. A call through Connect needs between 4 and 8 KiB, and so the step
// to these is made where there are few frames yet. It is for goroutines that end
// with their call; others have the room from the call before.
func Grow() { room(false) }

// room asks for its room when it is entered. What it does not use is not cleared.
//
//go:noinline
func room(use bool) {
	if use {
		var room [4 << 10]byte
		touch(&room)
	}
}

//go:noinline
func touch(room *[4 << 10]byte) { room[0] = 1 }
