//go:build !only && unix

package main

import (
	"runtime"
	"time"
)

// usage is what a server's process has used so far.
type usage struct {
	CPU      time.Duration // of all threads
	Allocs   uint64
	Bytes    uint64 // allocated
	Syscalls uint64 // that read or write; 0 where the system does not tell
	Resident uint64 // bytes of memory; 0 where the system does not tell
}

func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{Allocs: m.Mallocs, Bytes: m.TotalAlloc}
	u.system()
	return u
}

// since is what was used between before and u.
func (u usage) since(before usage) usage {
	return usage{CPU: u.CPU - before.CPU, Allocs: u.Allocs - before.Allocs, Bytes: u.Bytes - before.Bytes,
		Syscalls: u.Syscalls - before.Syscalls, Resident: u.Resident}
}
