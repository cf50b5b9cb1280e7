package term_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func streams(terminal bool) (*term.IO, *bytes.Buffer) {
	var out bytes.Buffer
	return &term.IO{Out: &out, Err: &out, OutTerminal: terminal, ErrTerminal: terminal, Env: func(string) string { return "" }}, &out
}

func TestTheStatusLineStaysBelow(t *testing.T) {
	t.Parallel()
	io, out := streams(true)
	s := io.NewStatus()
	w := s.Writer(io.Out)
	s.Set("one")
	fmt.Fprint(w, "half ")
	fmt.Fprint(w, "a line\n")
	s.Set("two")
	s.Set("")
	const clear = "\r\x1b[K"
	if want := "one" + clear + "half a line\none" + clear + "two" + clear; out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestPipesGetPlainLines(t *testing.T) {
	t.Parallel()
	io, out := streams(false)
	s := io.NewStatus()
	s.Set("status")
	fmt.Fprintln(s.Writer(io.Out), io.OnOut(term.Red, "line"))
	if out.String() != "line\n" {
		t.Errorf("%q", out)
	}
}

func TestProgressIsShownOfWhatTakesLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		terminal bool
		takes    time.Duration
		want     string
	}{
		{false, 900 * time.Millisecond, ""},
		{false, 5 * time.Second, "work 1 ...\n"},
		{true, 900 * time.Millisecond, ""},
		{true, 2500 * time.Millisecond, "\r\x1b[K\x1b[2mwork 1\x1b[0m 1s\r\x1b[K\x1b[2mwork 1\x1b[0m 2s\r\x1b[K"},
	} {
		synctest.Test(t, func(t *testing.T) {
			io, out := streams(c.terminal)
			done := io.Progress("work %d", 1)
			<-time.After(c.takes)
			done()
			done() // does no harm
			if out.String() != c.want {
				t.Errorf("terminal %t, %s: %q, want %q", c.terminal, c.takes, out, c.want)
			}
		})
	}
}
