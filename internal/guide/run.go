package guide

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Setup is where and how the commands of a page are run.
type Setup struct {
	Dir     string            // what the reader stands in; a cd lasts for its block
	Stay    bool              // a cd lasts for the page instead
	Env     []string          // beside the test's own
	Replace *strings.Replacer // of the commands: ports, versions; may be nil
	Mask    []*regexp.Regexp  // what differs from run to run, on both sides

	// Serve are the commands that run until the reader stops them. Each is
	// started, and the page goes on when it has printed what matches. It is
	// interrupted, and has to end well, when another is started or the page is
	// over.
	Serve map[string]*regexp.Regexp
}

// Run runs every block of sh in the page, one line after the other, and compares
// what they print with the block of text, json or console that follows at once.
// JSON may be folded for reading. A block of console holds both: the lines that
// begin with "$ " are run. Each line must succeed.
func Run(t testing.TB, file string, s Setup) {
	t.Helper()
	blocks, ran := Load(t, file), 0
	r := &runner{Setup: s, t: t, file: file}
	defer r.interrupt()
	for i, b := range blocks {
		var commands []string
		want, compare, fold := "", false, false
		switch b.Lang {
		case "sh":
			commands = splitCommands(b.Text)
			if i+1 < len(blocks) && follows(b, blocks[i+1]) {
				want, compare, fold = blocks[i+1].Text, true, blocks[i+1].Lang == "json"
			}
		case "console":
			for line := range strings.Lines(b.Text) {
				if c, ok := strings.CutPrefix(line, "$ "); ok {
					commands = append(commands, c)
				} else {
					want += line
				}
			}
			compare = true
		default:
			continue
		}
		ran++
		got := r.run(b.Line, commands)
		if got, want := s.normal(got, fold), s.normal(want, fold); compare && got != want {
			t.Errorf("%s:%d:\n%sprinted\n%swant\n%s", file, b.Line, b.Text, got, want)
		}
	}
	if ran == 0 {
		t.Errorf("%s has no commands; has it moved?", file)
	}
}

// follows reports whether out stands right below b, with one blank line between
// the fences.
func follows(b, out Block) bool {
	end := b.Line + strings.Count(b.Text, "\n")
	return out.Line == end+3 && (out.Lang == "text" || out.Lang == "json")
}

// splitCommands returns the lines of text, those that go on with a backslash or
// stand inside a here-document as one.
func splitCommands(text string) []string {
	var out []string
	var open, until string
	for line := range strings.Lines(text) {
		open += line
		switch {
		case until != "":
			if strings.TrimSpace(line) == until {
				until = ""
			}
		case hereDocument.MatchString(line):
			until = hereDocument.FindStringSubmatch(line)[1]
		}
		if until != "" || strings.HasSuffix(strings.TrimRight(line, "\n"), "\\") {
			continue
		}
		if strings.TrimSpace(open) != "" {
			out = append(out, open)
		}
		open = ""
	}
	return out
}

var hereDocument = regexp.MustCompile(`<<'?(\w+)'?`)

// Tool builds the program pkg as the module in folder pins it and returns the
// folder it is in, for PATH.
func Tool(t testing.TB, folder, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-w", "-o", dir+string(os.PathSeparator), pkg)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return dir
}

// WithPath puts dir first into the PATH of the commands.
func WithPath(dir string) string {
	return "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// runner runs one page.
type runner struct {
	Setup
	t      testing.TB
	file   string
	server *exec.Cmd // of Serve, while it runs
	log    strings.Builder
	ended  chan struct{} // log is complete
}

func (r *runner) run(line int, commands []string) string {
	r.t.Helper()
	var out strings.Builder
	dir := r.Dir
	for _, c := range commands {
		pattern := r.Serve[strings.TrimSpace(c)]
		if r.Replace != nil {
			c = r.Replace.Replace(c)
		}
		if to, ok := strings.CutPrefix(strings.TrimSpace(c), "cd "); ok {
			dir += string(os.PathSeparator) + to
			if r.Stay {
				r.Dir = dir
			}
			continue
		}
		cmd := exec.CommandContext(r.t.Context(), "sh", "-c", c)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), r.Env...)
		if pattern != nil {
			r.serve(cmd, line, c, pattern)
			continue
		}
		printed, err := cmd.CombinedOutput()
		out.Write(printed)
		if err != nil {
			r.t.Errorf("%s:%d: %s%v\n%s", r.file, line, c, err, printed)
		}
		if n := len(printed); n > 0 && printed[n-1] != '\n' {
			out.WriteByte('\n') // curl ends without one
		}
	}
	return out.String()
}

// serve starts a command that does not end, and waits until it says that it is up.
func (r *runner) serve(cmd *exec.Cmd, line int, c string, up *regexp.Regexp) {
	r.t.Helper()
	r.interrupt()
	cmd.Args[2] = "exec " + strings.TrimSpace(c) // the interrupt is for it, not for a shell
	out, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatalf("%s:%d: %s%v", r.file, line, c, err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	r.server, r.ended = cmd, ended
	r.log.Reset()
	go func() {
		defer close(ended)
		seen := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.log.WriteString(lines.Text() + "\n")
			if !seen && up.MatchString(lines.Text()) {
				seen = true
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-ended:
		r.t.Fatalf("%s:%d: %shas ended: %v\n%s", r.file, line, c, cmd.Wait(), r.log.String())
	}
}

// interrupt is the reader's Ctrl-C.
func (r *runner) interrupt() {
	r.t.Helper()
	if r.server == nil {
		return
	}
	if err := r.server.Process.Signal(os.Interrupt); err != nil {
		r.t.Error(err)
	}
	<-r.ended
	if err := r.server.Wait(); err != nil {
		r.t.Errorf("%s: %s ended with %v\n%s", r.file, r.server.Args[2], err, r.log.String())
	}
	r.server = nil
}

// space varies on purpose in the JSON that protobuf writes (see
// google.golang.org/protobuf/internal/detrand).
var space = regexp.MustCompile(`([,:]) +`)

// breaks are where a page may fold JSON that is one long line.
var breaks = regexp.MustCompile(`\s*\n\s*`)

func (s Setup) normal(text string, fold bool) string {
	if fold {
		text = breaks.ReplaceAllString(text, "")
	}
	for _, m := range s.Mask {
		text = m.ReplaceAllString(text, "…")
	}
	return strings.TrimSpace(space.ReplaceAllString(text, "$1")) + "\n"
}
