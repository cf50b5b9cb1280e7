package dev

import "syscall"

// alone makes a process group, and has the kernel end it when we are killed.
func alone() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
