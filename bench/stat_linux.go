//go:build !only

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const cpuSource = "on-CPU time of all threads (/proc/PID/task/*/schedstat)"

// system fills in what Linux tells of this process.
func (u *usage) system() {
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err == nil {
			u.CPU += time.Duration(ns)
		}
	}
	// syscr and syscw count the calls of read(2) and write(2) and their kin,
	// of sockets too. Those of the lines above are the same every time.
	if text, err := os.ReadFile("/proc/self/io"); err == nil {
		for line := range strings.Lines(string(text)) {
			var n uint64
			if name, value, ok := strings.Cut(line, ": "); ok && (name == "syscr" || name == "syscw") {
				_, _ = fmt.Sscan(value, &n)
				u.Syscalls += n
			}
		}
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident uint64
		if _, err := fmt.Sscan(string(text), &size, &resident); err == nil {
			u.Resident = resident * uint64(os.Getpagesize())
		}
	}
}
