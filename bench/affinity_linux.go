//go:build !only

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pinning keeps servers on one core and the load on the others, where there are
// two at least.
type pinning struct{ servers, load unix.CPUSet }

// pin moves this process, the load, off the core of the servers. It returns nil
// when there is nothing to separate.
func pin() *pinning {
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() < 2 {
		return nil
	}
	p := new(pinning)
	for cpu := range 1024 {
		switch {
		case !all.IsSet(cpu):
		case p.servers.Count() == 0:
			p.servers.Set(cpu)
		default:
			p.load.Set(cpu)
		}
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, &p.load)
		}
	}
	runtime.SetDefaultGOMAXPROCS()
	return p
}

// start runs f on a thread of the servers' core: processes that it starts stay
// there.
func (p *pinning) start(f func() error) error {
	if p == nil {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &p.servers); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &p.load) }()
	return f()
}

func (p *pinning) String() string {
	if p == nil {
		return "servers and load share all cores"
	}
	return fmt.Sprintf("servers pinned to one core, the load to %d other", p.load.Count())
}
