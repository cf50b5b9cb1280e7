package term_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func TestTextOfStrangersDoesNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain, ä, 世界\n\ttext": "plain, ä, 世界\n\ttext",
		"\x1b[31mred":          `\x1b[31mred`,
		"a\rb\x07":             `a\x0db\x07`,
		"\u009b31m":            `\x9b31m`,
		"\u202eback":           `\u202eback`,
	} {
		if got := term.Clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07")
	f.Add("\xff\x80")
	f.Fuzz(func(t *testing.T, text string) {
		got := term.Clean(text)
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("%q: %q", text, got)
		}
	})
}
