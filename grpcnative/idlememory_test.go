//go:build !race

// The race detector keeps more of every goroutine.

package grpcnative_test

import "testing"

// An idle connection takes no more than one of net/http, and what is resident of it
// 36 KiB at most: about 2 more than what is in use.
// A goroutine more, or a stack of another size, would show.
func TestIdleConnectionsTakeLittle(t *testing.T) {
	t.Parallel()
	const conns = 400
	got := idleMemory(t, "native", conns) / conns / 1024
	t.Logf("%.1f KiB", got)
	if got > 34 {
		t.Errorf("%.1f KiB a connection, want at most 34", got)
	}
}
