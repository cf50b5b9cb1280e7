package term_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func TestABarMovesOnATerminalAndIsLinesElsewhere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	io := &term.IO{Err: &out, Env: func(string) string { return "1" }} // NO_COLOR among them
	b := io.Bar()
	b.Show(0.5, "half")
	b.Clear()
	if out.String() != "half\n" {
		t.Errorf("a pipe gets %q", out.String())
	}
	out.Reset()
	io.ErrTerminal = true
	b.Show(0.5, "half"+strings.Repeat(" ", 100))
	b.Show(2, "over")
	b.Clear()
	lines := strings.Split(out.String(), "\r\x1b[K")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], strings.Repeat("█", 12)+strings.Repeat("░", 12)+"  50% half") || !strings.Contains(lines[2], "100% over") || lines[3] != "" {
		t.Errorf("a terminal gets %q", lines)
	}
	if n := len([]rune(lines[1])); n > 79 {
		t.Errorf("the line has %d characters", n)
	}
}
