package dev

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"
)

// outputDelay is how long output is waited for after a process has ended, in
// case that something it started holds its pipes.
const outputDelay = time.Second

// process is a program that runs in a process group of its own, so that a
// Ctrl-C in the terminal reaches us alone and we decide how it ends.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended, and err is set
	err   error
}

func start(program, dir string, args, environ []string, out, trouble io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = dir, environ, out, trouble, outputDelay
	p.cmd.SysProcAttr = alone()
	started := make(chan error)
	go func() {
		// Where the kernel ends a child with its parent, it means the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// running tells whether it has not ended. A nil process does not run.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// how tells how it ended, for people.
func (p *process) how() string {
	if p.err == nil {
		return "exit status 0"
	}
	return p.err.Error()
}

// stop asks it to drain and waits. It is killed, with what it started, when it
// takes longer than limit or when kill, which may be nil, says so. It returns
// an error when it had to be killed.
func (p *process) stop(limit time.Duration, kill <-chan struct{}) error {
	if !p.running() {
		return nil
	}
	if err := p.terminate(); err != nil && p.running() {
		return fmt.Errorf("stop process %d: %w", p.pid(), err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	why := ""
	select {
	case <-p.ended:
		return nil
	case <-timer.C:
		why = "it took longer than " + limit.String()
	case <-kill:
		why = "asked to"
	}
	err := p.kill()
	<-p.ended
	if err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid(), err)
	}
	return fmt.Errorf("killed process %d: %s", p.pid(), why)
}
