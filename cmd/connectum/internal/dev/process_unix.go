//go:build unix

package dev

import "syscall"

// terminate asks for an orderly end.
func (p *process) terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// kill ends the process and what it started.
func (p *process) kill() error { return syscall.Kill(-p.pid(), syscall.SIGKILL) }
