// Package leak finds goroutines that outlive the test or the test program that
// started them. It uses the standard library alone, so that the tests of the
// root package may use it.
//
//	func TestServer(t *testing.T) {
//		t.Parallel()
//		leak.Check(t)
//		...
//	}
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// [Check] answers for one test, also beside parallel ones, because it follows
// what the test starts by a profiler label, which goroutines inherit. Two kinds
// escape it: goroutines started by timers ([time.AfterFunc]) and those started
// under other labels. [Main] answers for the whole program and misses none.
package leak

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Patience is how long goroutines may take to end after what started them, or
// longer on a machine that is busy.
const Patience = 5 * time.Second

const label = "leak.test"

var serial atomic.Int64 // keeps tests of one name apart, as -count makes them

// Check fails t if a goroutine that it starts from here on, directly or through
// others, is still there [Patience] after it has ended, and shows their stacks.
// Call it first, so that its cleanup runs last, on the goroutine of the test and
// outside of testing/synctest, which finds leaks itself.
func Check(t testing.TB) {
	t.Helper()
	check(t, Patience)
}

func check(t testing.TB, patience time.Duration) {
	t.Helper()
	name := fmt.Sprintf("%s#%d", t.Name(), serial.Add(1))
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, name)))
	t.Cleanup(func() {
		t.Helper()
		pprof.SetGoroutineLabels(context.Background()) // the test's own goroutine does not count
		left := await(patience, func() []string { return labelled(name) })
		if len(left) > 0 {
			t.Errorf("goroutines still there %v after the test:\n\n%s", patience, strings.Join(left, "\n\n"))
		}
	})
}

// Main runs the tests, then waits up to [Patience] for every goroutine of the
// program to end, and exits: with the status of the tests, or with 1 and the
// stacks on standard error if goroutines are left.
func Main(m *testing.M) {
	os.Exit(run(m.Run, Patience, os.Stderr)) //nolint:forbidigo // it is the main of a test
}

func run(tests func() int, patience time.Duration, stderr io.Writer) int {
	if code := tests(); code != 0 {
		return code // failed tests do leave goroutines; theirs is the report to read
	}
	if left := await(patience, strays); len(left) > 0 {
		_, _ = fmt.Fprintf(stderr, "goroutines still there %v after the tests:\n\n%s\n", patience, strings.Join(left, "\n\n"))
		return 1
	}
	return 0
}

// await polls until find finds nothing or patience has run out, and returns
// what it found last. Patience is the sum of the pauses that it asked for: on a
// machine that is busy with others they take longer, and so does everything that
// is waited for.
func await(patience time.Duration, find func() []string) []string {
	for asked, pause := time.Duration(0), time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		left := find()
		if len(left) == 0 || asked >= patience {
			return left
		}
		<-time.After(pause)
		asked += pause
	}
}
