package term

import (
	"fmt"
	"strings"
)

// Bar shows how far something is: on a terminal by a bar that moves, elsewhere
// by plain lines. Show and Clear are for one goroutine at a time.
type Bar struct {
	io    *IO
	shown bool
}

// Bar returns a bar on Err.
func (t *IO) Bar() *Bar { return &Bar{io: t} }

// barWidth leaves room for text on a line of 80.
const barWidth = 24

// Show shows a part of the whole, between 0 and 1, and a short text.
func (b *Bar) Show(part float64, text string) {
	if !b.io.ErrTerminal {
		b.io.Errorf("%s", text)
		return
	}
	part = min(max(part, 0), 1)
	done := int(part * barWidth)
	line := fmt.Sprintf("%s%s %3.0f%% ", strings.Repeat("█", done), strings.Repeat("░", barWidth-done), part*100)
	if room := 79 - barWidth - 6; len(text) > room {
		text = text[:room]
	}
	b.io.put("\r\x1b[K%s%s", b.io.OnErr(Cyan, line), text)
	b.shown = true
}

// Clear takes the bar away.
func (b *Bar) Clear() {
	if b.shown {
		b.io.put("\r\x1b[K")
		b.shown = false
	}
}
