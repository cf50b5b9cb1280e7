//go:build unix

package wire_test

import (
	"syscall"
	"time"
)

// cpu is the processor time of this process, its clients included.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
