//go:build !race

// The race detector keeps more of every goroutine.

package wire_test

import "testing"

// An idle connection takes at most 1.2 times the memory that it takes of
// net/http alone.
func TestIdleConnectionsTakeLittleMore(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"h1", "h2", "h1 over TLS", "h2 over TLS"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const conns = 400
			plain, ours := idleMemory(t, kind, "plain", conns)/conns, idleMemory(t, kind, "wire", conns)/conns
			t.Logf("%.1f KiB, plain net/http %.1f KiB: %.2f times", ours/1024, plain/1024, ours/plain)
			if ours > 1.2*plain {
				t.Errorf("%.0f bytes a connection, plain net/http %.0f", ours, plain)
			}
		})
	}
}
