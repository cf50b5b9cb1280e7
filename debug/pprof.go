package debug

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"
)

// index lists the profiles for people. It is written without html/template: that
// looks methods up by their names, and the linker then keeps every exported method
// of every type that is used, which is a quarter of a binary.
func index(w http.ResponseWriter, _ *http.Request) {
	profiles := pprof.Profiles()
	slices.SortFunc(profiles, func(a, b *pprof.Profile) int { return cmp.Compare(a.Name(), b.Name()) })
	var page strings.Builder
	page.WriteString("<!DOCTYPE html>\n<title>Profiles</title>\n<h1>Profiles</h1>\n<table>\n")
	for _, p := range profiles { // the process's own too, by any name
		fmt.Fprintf(&page, "<tr><td>%d<td><a href=\"./%s?debug=1\">%s</a>\n",
			p.Count(), html.EscapeString(url.PathEscape(p.Name())), html.EscapeString(p.Name()))
	}
	page.WriteString(`</table>
<p><a href="goroutine?debug=2">every goroutine</a>, <a href="profile?seconds=30">CPU, 30 s</a>,
<a href="trace?seconds=1">trace, 1 s</a>, <a href="../build">build</a>
`)
	begin(w, "text/html; charset=utf-8", "")
	_, _ = io.WriteString(w, page.String()) // the client has left
}

// named writes a profile of runtime/pprof.
func named(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	p := pprof.Lookup(name)
	if p == nil {
		http.Error(w, "there is no such profile; /debug/pprof/ lists those there are", http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	if query.Has("seconds") {
		http.Error(w, "a difference over time is two profiles: see go tool pprof -diff_base", http.StatusBadRequest)
		return
	}
	level, err := strconv.Atoi(cmp.Or(query.Get("debug"), "0"))
	collect, err2 := strconv.Atoi(cmp.Or(query.Get("gc"), "0"))
	if err != nil || err2 != nil {
		http.Error(w, "want debug and gc to be numbers", http.StatusBadRequest)
		return
	}
	if name == "heap" && collect > 0 {
		runtime.GC()
	}
	if level > 0 {
		begin(w, "text/plain; charset=utf-8", "")
	} else {
		begin(w, "application/octet-stream", name+".pprof")
	}
	_ = p.WriteTo(w, level) // the client has left
}

// cpu profiles the process for some seconds.
func cpu(w http.ResponseWriter, r *http.Request) {
	record(w, r, "profile.pprof", "30", pprof.StartCPUProfile, pprof.StopCPUProfile)
}

// execution traces the process for some seconds.
func execution(w http.ResponseWriter, r *http.Request) {
	record(w, r, "trace.out", "1", trace.Start, trace.Stop)
}

// longest is how long anybody needs, and what a forgotten client may cost.
const longest = 5 * time.Minute

// record runs what the process can do only once at a time.
func record(w http.ResponseWriter, r *http.Request, file string, usual string, start func(io.Writer) error, stop func()) {
	seconds, err := strconv.ParseFloat(cmp.Or(r.URL.Query().Get("seconds"), usual), 64)
	d := time.Duration(seconds * float64(time.Second))
	if err != nil || !(seconds > 0 && seconds <= longest.Seconds()) {
		http.Error(w, fmt.Sprintf("want seconds above 0 and at most %.0f", longest.Seconds()), http.StatusBadRequest)
		return
	}
	begin(w, "application/octet-stream", file)
	if err := start(w); err != nil {
		w.Header().Del("Content-Disposition")
		http.Error(w, err.Error(), http.StatusConflict) // another one is under way
		return
	}
	defer stop()
	sleep(r.Context(), d)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
