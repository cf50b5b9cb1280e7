//go:build !only && unix

package main

import (
	"fmt"
	"html"
	"strings"
)

// chart draws the CPU time of a call of each contender as bars, in SVG that
// stands on its own and on light and dark pages.
func (r *result) chart() string {
	const left, width, bar, gap, top = 190, 420, 18, 8, 44
	most := 0.0
	for _, name := range r.names {
		most = max(most, r.median(name, cpu))
	}
	height := top + len(r.names)*(bar+gap) + 8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="13">`+"\n", left+width+90, height)
	b.WriteString("<style>text{fill:#24292f}.ours{fill:#2f81f7}.theirs{fill:#9aa4af}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.theirs{fill:#6e7681}}</style>\n")
	fmt.Fprintf(&b, `<text x="8" y="20" font-weight="600">%s: server CPU, µs a call</text>`+"\n", html.EscapeString(r.title))
	for i, name := range r.names {
		v := r.median(name, cpu)
		y, class := top+i*(bar+gap), "theirs"
		if strings.HasPrefix(name, "connectum") {
			class = "ours"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+bar-5, html.EscapeString(name))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, left, y, max(v/most*width, 1), bar)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.1f</text>`+"\n", left+v/most*width+6, y+bar-5, v/1e3)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
