package connectum

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// What runs the functions of users, as stacks have it.
const (
	runsCall     = ".(*procedure).guard("
	runsHTTP     = ".(*httpDoor).ServeHTTP("
	runsHook     = ".(*hook).run.func1("
	runsCallback = ".(*Server).safely("
)

const (
	stackMemory = 4 * mib // of all stacks of the process; what is beyond it does not show
	stacksShown = 16
)

// stacksIn tells where the goroutines of the process are that one of these runs:
// the frames above it, innermost first, without arguments. Goroutines that are at
// the same place are told once, with their number. An operator who reads that
// something was left behind learns what it waits for.
func stacksIn(runs ...string) string {
	buf := make([]byte, stackMemory)
	buf = buf[:runtime.Stack(buf, true)]
	counts := map[string]int{}
	for one := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if place := placeOf(string(one), runs); place != "" {
			counts[place]++
		}
	}
	places := make([]string, 0, len(counts))
	for place := range counts {
		places = append(places, place)
	}
	slices.SortFunc(places, func(a, b string) int {
		if n := counts[b] - counts[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	var out strings.Builder
	for _, place := range places[:min(len(places), stacksShown)] {
		fmt.Fprintf(&out, "%d × %s\n", counts[place], clip(place))
	}
	if more := len(places) - stacksShown; more > 0 {
		fmt.Fprintf(&out, "and %d other places\n", more)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// placeOf returns where a goroutine is, as in "[select] main.wait main.go:7 < ...",
// or nothing when none of runs is in its stack.
func placeOf(stack string, runs []string) string {
	header, frames, _ := strings.Cut(stack, "\n")
	_, state, _ := strings.Cut(header, "[")
	state, _, _ = strings.Cut(state, "]")
	state, _, _ = strings.Cut(state, ",") // without the minutes it has waited
	var place []string
	function := ""
	for line := range strings.Lines(frames) {
		line = strings.TrimRight(line, "\n")
		if file, ok := strings.CutPrefix(line, "\t"); ok {
			file, _, _ = strings.Cut(file, " +0x")
			place = append(place, function+" "+file[strings.LastIndex(file, "/")+1:])
			continue
		}
		if slices.ContainsFunc(runs, func(run string) bool { return strings.Contains(line, run) }) {
			return "[" + state + "] " + strings.Join(place, " < ")
		}
		function = line
		if i := strings.LastIndex(line, "("); i > 0 {
			function = line[:i]
		}
	}
	return ""
}
