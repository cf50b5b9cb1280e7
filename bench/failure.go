//go:build !only && unix

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// stuckAfter is when a server that does not answer is killed: its calls, and all
// that wait for it, then fail.
const stuckAfter = 90 * time.Second

// failures is what went wrong: a run goes on without what failed, and says so.
type failures []string

func (f *failures) add(name, what string, err error) {
	text := fmt.Sprintf("%s, %s: %s", name, what, strings.Join(strings.Fields(err.Error()), " "))
	if len(text) > 400 {
		text = text[:400] + "…"
	}
	*f = append(*f, text)
	say("FAILED: %s", text)
}

func (f failures) list() string {
	var b strings.Builder
	for _, text := range f {
		b.WriteString("- " + text + "\n")
	}
	return b.String()
}

var began = time.Now()

// say tells how far the run is.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%3.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}
