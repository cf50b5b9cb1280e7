package leak

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
)

// labelled returns the stacks of the goroutines that carry a test's label, but
// for those that run tests. The profile's text is the one place where a program
// can read labels; it groups goroutines that share a stack.
func labelled(name string) []string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		panic(err) // a buffer takes every write
	}
	want := fmt.Sprintf("%q:%q", label, name)
	var left []string
	_, records, _ := strings.Cut(profile.String(), "\n") // the first line counts them all
	for record := range strings.SplitSeq(records, "\n\n") {
		if strings.Contains(record, want) && !strings.Contains(record, "\ttesting.tRunner+") {
			left = append(left, strings.TrimSpace(record))
		}
	}
	return left
}

// strays returns the stacks of all goroutines but the caller's and those that
// belong to package testing and the runtime.
func strays() []string {
	text := make([]byte, 64<<10)
	for {
		n := runtime.Stack(text, true)
		if n < len(text) {
			text = text[:n]
			break
		}
		text = make([]byte, 2*len(text))
	}
	_, others, _ := strings.Cut(string(text), "\n\n") // the caller comes first
	var left []string
	for record := range strings.SplitSeq(others, "\n\n") {
		if record = strings.TrimSpace(record); record != "" && !ignored(record) {
			left = append(left, record)
		}
	}
	return left
}

// ignored reports whether a goroutine lives as long as the program by design.
func ignored(record string) bool {
	for _, frame := range []string{
		"os/signal.loop(",              // started once by the first signal.Notify
		"os/signal.signal_recv(",       // the same, in the runtime
		"runtime.ensureSigM(",          // likewise
		"runtime.ReadTrace(",           // go test -trace
		"runtime/pprof.profileWriter(", // go test -cpuprofile
		"testing.(*M).",                // the alarm of -timeout
		"testing.runTests(",            // waits for the tests
		"testing.runFuzz",              // likewise
		"testing.tRunner(",             // a test that runs Main's own tests
		"testing.(*F).",                // fuzzing
	} {
		if strings.Contains(record, frame) {
			return true
		}
	}
	return false
}
