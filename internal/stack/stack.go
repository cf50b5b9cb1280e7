// Package stack makes room on the stacks of goroutines that serve calls.
//
// A goroutine begins with 2 KiB, and each time its stack doubles, every frame on
// it is looked up and moved: with a dozen frames that is a tenth of what a small
// call costs. What is known to be needed is therefore best had where there are few
// frames yet. Where there is room already it costs a comparison.
package stack

// Grow has the calling goroutine's stack grow to 8 KiB, if it is smaller, which
// calls through Connect need. It is for goroutines that end with their call; others
// have the room from the call before.
func Grow() { small(false) }

// GrowMore has it grow to 16 KiB, if it has less than 6 left: protojson needs them
// below Connect. Goroutines of connections, too, lack the room after each garbage
// collection, which takes from a stack what is in use by less than a quarter.
func GrowMore() { large(false) }

// The room is asked for when the function is entered, whether it is used or not,
// and not cleared.
//
//go:noinline
func small(touch bool) {
	if touch {
		var room [4 << 10]byte
		use(room[:])
	}
}

//go:noinline
func large(touch bool) {
	if touch {
		var room [6 << 10]byte
		use(room[:])
	}
}

//go:noinline
func use(room []byte) { room[0] = 1 }
