package connectum_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wallClock are the ways to lose the monotonic reading of a time.Time, or to
// take the time of day without it (see package time, "Monotonic Clocks").
// time.Unix makes a time of the past to interrupt I/O with, which is none.
var wallClock = regexp.MustCompile(`\.Unix(Nano|Micro|Milli)?\(\)|\.Round\(0\)|\.Truncate\(0\)|time\.Now\(\)\.(UTC|Local|In|AddDate)\(`)

// A clock that jumps moves no deadline, age, rate, window or breaker: whatever
// the library reckons with is a difference between two readings of the monotonic
// clock. What has to know the time of day is judged by a clock of its own, in
// TestAClockThatJumpsTakesNoCertificateAway.
//
// No test can set the clock of the machine, and that of testing/synctest does not
// jump, so it is the source that is looked at.
func TestAClockThatJumpsMovesNoTimer(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{ // the control
		"now := time.Now().UnixNano()": true, "at.Round(0)": true, "time.Now().UTC()": true, "time.Since(began)": false, "time.Unix(1, 0)": false,
	} {
		if wallClock.MatchString(line) != want {
			t.Errorf("%s: found %v, want %v", line, !want, want)
		}
	}
	// Programs, and what makes up data, tell the time to people.
	apart := []string{"bench", "cmd", "conformance", "connectumtest/fake", "examples", "internal/gen", "tools"}
	files := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains(apart, path) || entry.Name() == "testdata" || path != "." && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		number := 0
		for line := range strings.Lines(string(source)) {
			number++
			if wallClock.MatchString(line) {
				t.Errorf("%s:%d reckons with the time of day: %s", path, number, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("%d files were looked at", files)
	}
}
