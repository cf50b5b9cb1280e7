package stack_test

import (
	"testing"

	"github.com/connectum-go/connectum/internal/stack"
)

// BenchmarkGrow is a goroutine that needs 6 KiB at its deepest, and comes to them
// by twelve frames, as a call does.
func BenchmarkGrow(b *testing.B) {
	for name, first := range map[string]func(){"early": stack.Grow, "as it comes": func() {}} {
		b.Run(name, func(b *testing.B) {
			done := make(chan byte)
			for b.Loop() {
				go func() {
					first()
					done <- deep(12)
				}()
				<-done
			}
		})
	}
}

//go:noinline
func deep(frames int) byte {
	var frame [512]byte
	if frames > 0 {
		frame[frames] = deep(frames - 1)
	}
	return frame[frames] + frame[(frames+1)%len(frame)]
}
