//go:build !only && unix && !linux

package main

import (
	"syscall"
	"time"
)

const cpuSource = "user and system time of the process (getrusage)"

// system fills in what every Unix tells of this process.
func (u *usage) system() {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
}
