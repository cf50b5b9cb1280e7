//go:build unix && !linux

package dev

import "syscall"

// alone makes a process group.
func alone() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
