// Package guide keeps the pages of the documentation true: what they show in Go
// is an excerpt of code that compiles and runs in a test, and what they show of
// a shell is run and printed as they say.
package guide

import (
	"os"
	"strings"
	"testing"
)

// Block is a fenced block of a page.
type Block struct {
	Lang string
	Text string
	Line int // of its first line of text, from 1
}

// Parse returns the fenced blocks of a page, in their order.
func Parse(page string) []Block {
	var blocks []Block
	var open *Block
	fence := ""
	for i, line := range strings.Split(page, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			open = &Block{Lang: strings.TrimSpace(strings.TrimLeft(trimmed, "`")), Line: i + 2}
		case open != nil && strings.TrimSpace(line) == fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		}
	}
	return blocks
}

// Load returns the blocks of the page in file.
func Load(t testing.TB, file string) []Block {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := Parse(string(page))
	if len(blocks) == 0 {
		t.Fatalf("%s has no blocks; has it moved?", file)
	}
	return blocks
}

// Excerpt reports whether block stands in source, line by line and with the
// same indentation but for that of the whole. A line of "// ..." stands for any
// number of lines.
func Excerpt(source, block string) bool {
	want := lines(block)
	if len(want) == 0 {
		return true
	}
	common := indent(want[0])
	for _, line := range want {
		if !strings.HasPrefix(line, common) {
			common = ""
		}
	}
	for i := range want {
		want[i] = want[i][len(common):]
	}
	have := lines(source)
	for i := range have {
		if matches(have[i:], want, indent(have[i])) {
			return true
		}
	}
	return false
}

func matches(have, want []string, margin string) bool {
	for i, line := range want {
		if strings.TrimSpace(line) == "// ..." {
			for j := range have {
				if matches(have[j:], want[i+1:], margin) {
					return true
				}
			}
			return len(want) == i+1
		}
		if len(have) == 0 || have[0] != margin+line {
			return false
		}
		have = have[1:]
	}
	return true
}

// lines returns the lines of text that are not blank.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func indent(line string) string { return line[:len(line)-len(strings.TrimLeft(line, "\t"))] }
