package leak

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const impatience = 50 * time.Millisecond

func TestCheckPassesWhenGoroutinesEnd(t *testing.T) {
	t.Parallel()
	report := within(t, Patience, func() {
		release := make(chan struct{})
		go func() { <-release }()
		time.AfterFunc(impatience, func() { close(release) }) // after the cleanup began to wait
	})
	if report != "" {
		t.Error(report)
	}
}

// The control: a check that never fails proves nothing.
func TestCheckCatchesLeak(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	report := within(t, impatience, func() { stray(release) })
	if !strings.Contains(report, "leak.strayUntil") {
		t.Errorf("report %q, want the stack of strayUntil", report)
	}
}

func TestCheckCatchesLeakOfChildOfEndedGoroutine(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	report := within(t, impatience, func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			stray(release)
		}()
		<-ended
	})
	if !strings.Contains(report, "leak.strayUntil") {
		t.Errorf("report %q, want the stack of strayUntil", report)
	}
}

func TestCheckIgnoresGoroutinesOfOtherTests(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	stray(release) // stands for a test that runs beside
	if report := within(t, impatience, func() {}); report != "" {
		t.Error(report)
	}
}

func TestMainReportsStrays(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	var stderr strings.Builder
	code := run(func() int { stray(release); return 0 }, impatience, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "leak.strayUntil") {
		t.Errorf("status %d, standard error %q; want 1 and the stack of strayUntil", code, stderr.String())
	}
}

func TestMainKeepsStatusOfFailedTests(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	if code := run(func() int { return 3 }, impatience, &stderr); code != 3 || stderr.Len() > 0 {
		t.Errorf("status %d, standard error %q; want 3 and nothing", code, stderr.String())
	}
}

func TestMain(m *testing.M) { Main(m) }

// stray starts a goroutine, and waits until it has a stack to be shown.
func stray(release <-chan struct{}) {
	running := make(chan struct{})
	go strayUntil(release, running)
	<-running
}

func strayUntil(release <-chan struct{}, running chan<- struct{}) {
	close(running)
	<-release
}

// within runs f as a checked test of its own and returns what it reports.
func within(t *testing.T, patience time.Duration, f func()) string {
	t.Helper()
	done := make(chan string)
	go func() {
		inner := &recorder{TB: t}
		check(inner, patience)
		f()
		inner.cleanup()
		done <- inner.report
	}()
	return <-done
}

// recorder is a testing.TB that keeps the cleanup and the failure to itself.
type recorder struct {
	testing.TB
	cleanup func()
	report  string
}

func (r *recorder) Cleanup(f func())               { r.cleanup = f }
func (r *recorder) Errorf(format string, a ...any) { r.report += fmt.Sprintf(format, a...) }
