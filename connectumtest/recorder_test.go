package connectumtest_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB that keeps to itself what would fail the test, for
// the controls: a check that never fails proves nothing.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	report   strings.Builder
	log      bytes.Buffer
	cleanups []func()
}

// failure runs f as a test of its own, cleanups included, and returns what it
// reports: "" when it passes.
func failure(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanUp()
		f(r)
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.String()
}

func (r *recorder) cleanUp() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Output() io.Writer { return &r.log }
func (r *recorder) Failed() bool      { return r.report.Len() > 0 }
func (r *recorder) Error(a ...any)    { r.write(fmt.Sprintln(a...)) }
func (r *recorder) Fatal(a ...any)    { r.Error(a...); runtime.Goexit() }

func (r *recorder) Errorf(format string, a ...any) { r.write(fmt.Sprintf(format, a...) + "\n") }
func (r *recorder) Fatalf(format string, a ...any) { r.Errorf(format, a...); runtime.Goexit() }

func (r *recorder) write(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.WriteString(s)
}
