package connectumtest

import (
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/leak"
)

// NoLeaks fails the test when goroutines that it starts from here on are still
// there 5 s after it has ended, and shows their stacks; and when one of the
// servers then still has calls in flight, or runs. Call it first, on the
// goroutine of the test and outside of testing/synctest, which finds leaks
// itself. Parallel tests do not disturb one another; goroutines started by
// timers escape it.
func NoLeaks(t testing.TB, servers ...*connectum.Server) {
	t.Helper()
	leak.Check(t)
	t.Cleanup(func() {
		t.Helper()
		for _, srv := range servers {
			if n := srv.InFlight(); n > 0 {
				t.Errorf("the server has %d calls in flight after the test", n)
			}
			if s := srv.State(); s != connectum.StateCreated && s != connectum.StateStopped {
				t.Errorf("the server is %v after the test, want it stopped", s)
			}
		}
	})
}
