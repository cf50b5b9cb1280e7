// Package term writes for people on a terminal and for programs on a pipe:
// colour, status lines and progress on the one, plain lines on the other.
package term

import (
	"fmt"
	"io"
	"os"
)

// IO is where a command reads and writes. Out is for results, Err for
// everything about how they come about. Dir is the working directory.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Dir      string
	// OutTerminal and ErrTerminal tell whether people watch: then, and
	// without NO_COLOR in the environment, there is colour.
	OutTerminal, ErrTerminal bool
	Env                      func(string) string
}

// Standard returns the streams of the process.
func Standard() *IO {
	dir, _ := os.Getwd()
	return &IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Dir: dir, Env: os.Getenv,
		OutTerminal: isTerminal(os.Stdout), ErrTerminal: isTerminal(os.Stderr)}
}

// isTerminal needs no library: a character device that is not the null device
// has a person behind it in every case that matters here.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// Style is a colour or weight of text.
type Style string

// The styles in use.
const (
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Errorf writes a line of progress or trouble to Err.
func (t *IO) Errorf(format string, args ...any) { t.put(format+"\n", args...) }

// put writes to Err. That it cannot there is nowhere left to say.
func (t *IO) put(format string, args ...any) { _, _ = fmt.Fprintf(t.Err, format, args...) }

// Printf writes a line of results to Out.
func (t *IO) Printf(format string, args ...any) { _, _ = fmt.Fprintf(t.Out, format+"\n", args...) }

// OnOut colours text that is meant for Out.
func (t *IO) OnOut(s Style, text string) string { return t.paint(t.OutTerminal, s, text) }

// OnErr colours text that is meant for Err.
func (t *IO) OnErr(s Style, text string) string { return t.paint(t.ErrTerminal, s, text) }

func (t *IO) paint(terminal bool, s Style, text string) string {
	if !terminal || t.Env("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}
