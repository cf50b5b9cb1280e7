package guide

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Setup is where and how the commands of a page are run.
type Setup struct {
	Dir     string            // what the reader stands in; a cd lasts for its block
	Env     []string          // beside the test's own
	Replace *strings.Replacer // of the commands: ports, versions; may be nil
	Mask    []*regexp.Regexp  // what differs from run to run, on both sides
}

// Run runs every block of sh in the page, one line after the other, and compares
// what they print with the block of text, json or console that follows at once.
// JSON may be folded for reading. A block of console holds both: the lines that
// begin with "$ " are run. Each line must succeed.
func Run(t testing.TB, file string, s Setup) {
	t.Helper()
	blocks, ran := Load(t, file), 0
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
		got := s.run(t, file, b.Line, commands)
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
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(os.PathSeparator), pkg)
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

func (s Setup) run(t testing.TB, file string, line int, commands []string) string {
	t.Helper()
	var out strings.Builder
	dir := s.Dir
	for _, c := range commands {
		if s.Replace != nil {
			c = s.Replace.Replace(c)
		}
		if to, ok := strings.CutPrefix(strings.TrimSpace(c), "cd "); ok {
			dir += string(os.PathSeparator) + to
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", c)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), s.Env...)
		printed, err := cmd.CombinedOutput()
		out.Write(printed)
		if err != nil {
			t.Errorf("%s:%d: %s%v\n%s", file, line, c, err, printed)
		}
		if n := len(printed); n > 0 && printed[n-1] != '\n' {
			out.WriteByte('\n') // curl ends without one
		}
	}
	return out.String()
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
