//go:build !unix

package dev

import (
	"os"
	"syscall"
)

func alone() *syscall.SysProcAttr { return nil }

// terminate falls back to killing where there are no signals.
func (p *process) terminate() error {
	if p.cmd.Process.Signal(os.Interrupt) == nil {
		return nil
	}
	return p.cmd.Process.Kill()
}

func (p *process) kill() error { return p.cmd.Process.Kill() }
