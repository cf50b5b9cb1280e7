package cli

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// timeout(1) sends two signals at once, which do not kill what a first one drains.
func TestSignalsThatComeTogetherDoNotKill(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{0: "drain", 249 * time.Millisecond: "drain", 250 * time.Millisecond: "drain kill"} {
		synctest.Test(t, func(t *testing.T) {
			got, done, heard := make(chan os.Signal, 2), make(chan struct{}), ""
			go twice(got, done, func() { heard = "drain" }, func() { heard += " kill" })
			got <- os.Interrupt
			time.Sleep(after)
			got <- os.Interrupt
			synctest.Wait()
			close(done)
			if heard != want {
				t.Errorf("the second after %v: %s, want %s", after, heard, want)
			}
		})
	}
}
