package term

import (
	"fmt"
	"strings"
	"unicode"
)

// Clean makes text of a stranger harmless on a terminal: control characters
// show as \x1b instead of doing what they do. Line ends and tabs stay.
func Clean(text string) string {
	if !strings.ContainsFunc(text, harmful) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !harmful(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// harmful are the controls, and the format characters that reverse the order of
// text.
func harmful(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069)
}
