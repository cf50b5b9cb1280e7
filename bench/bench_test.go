//go:build !only && unix

package main

import (
	"path/filepath"
	"runtime"
	"testing"
)

// What the chain adds to a call of a server without one, in allocations.
func TestTheChainIsCheap(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	bare := allocations(t, "connectum")
	if bare > 6.5 {
		t.Errorf("a call of a bare server takes %.2f allocations, want at most 6", bare)
	}
	for name, most := range map[string]float64{
		"connectum-default":     0, // errors and validation
		"connectum-log":         0, // and a line
		"connectum-all":         2, // and telemetry, 1 % sampled
		"connectum-all-sampled": 4, "connectum-all-buffered": 2,
	} {
		got := allocations(t, name)
		t.Logf("%s: %.2f, %.2f without a chain", name, got, bare)
		if got > bare+most+0.5 { // one call in a hundred is sampled, and batches are exported now and then
			t.Errorf("%s adds %.2f allocations, want at most %v", name, got-bare, most)
		}
	}
}

// allocations of an in-process call of a contender, the client's included.
func allocations(t *testing.T, name string) float64 {
	t.Helper()
	for _, c := range contenders {
		if c.name == name {
			call, err := c.inProcess()
			if err != nil {
				t.Fatal(err)
			}
			return allocationsOf(t, call)
		}
	}
	t.Fatalf("no contender %q", name)
	return 0
}

func allocationsOf(t *testing.T, call func() error) float64 {
	t.Helper()
	const runs = 2000
	loop := func(n int) {
		for range n {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
	}
	loop(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	loop(runs)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs
}

// What a stripped binary may take, in MiB. The goal for everything is 24, which is
// reached where the program leaves x/net/trace out of the grpc-go that the
// exporters of telemetry link, or the exporters themselves.
func TestBinariesAreSmall(t *testing.T) {
	t.Parallel()
	for tag, most := range map[string]float64{
		"connectum":     10,
		"connectum_all": 26, "connectum_all," + leanTag: 21, "connectum_all," + leastTags: 18.6,
		"connectum_native": 26.2, "connectum_native," + leanTag: 21.2, "connectum_native," + leastTags: 20.1,
	} {
		size, err := build(tag, filepath.Join(t.TempDir(), tag))
		if err != nil {
			t.Fatal(err)
		}
		mib := float64(size) / (1 << 20)
		t.Logf("%s: %.1f MiB", tag, mib)
		if mib > most {
			t.Errorf("a stripped binary of %s is %.1f MiB, want at most %v", tag, mib, most)
		}
	}
}
