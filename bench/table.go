//go:build !only && unix

package main

import (
	"fmt"
	"strings"
	"time"
)

// table is one workload as Markdown.
func (r *result) table() string {
	var b strings.Builder
	b.WriteString(r.heading())
	if r.messages > 0 {
		fmt.Fprintf(&b, "A call is a stream of %d messages.\n\n", r.messages)
	}
	b.WriteString("| server | CPU µs | × connect-v2 | × grpc-go-chain | allocations | KB allocated | reads and writes | calls/s | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range r.names {
		m := func(f func(sample) float64) float64 { return r.median(name, f) }
		fmt.Fprintf(&b, "| %s | %.1f | %s | %s | %.1f | %.1f | %s | %s | %s | %s |\n", name, m(cpu)/1e3,
			unless(r.ratio(name, "connect-v2"), "%.2f"), unless(r.ratio(name, "grpc-go-chain"), "%.2f"),
			m(func(s sample) float64 { return s.allocs }), m(func(s sample) float64 { return s.bytes })/1e3,
			unless(m(func(s sample) float64 { return s.syscalls }), "%.2f"),
			unless(m(func(s sample) float64 { return s.perSecond }), "%.0f"),
			unless(m(func(s sample) float64 { return float64(s.p50) })/1e6, "%.2f"),
			unless(m(func(s sample) float64 { return float64(s.p99) })/1e6, "%.2f"))
	}
	return b.String()
}

// heading is the title of the workload's section.
func (r *result) heading() string {
	title := r.title
	if !strings.HasPrefix(title, "gRPC") {
		title = strings.ToUpper(title[:1]) + title[1:]
	}
	return "### " + title + "\n\n"
}

// unless leaves the place of a figure that there is none of empty.
func unless(v float64, format string) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

func footprintTable(all []footprint) string {
	var b strings.Builder
	b.WriteString("| server | stripped MiB | with -tags " + leanTag + " | with -tags " + leastTags +
		" | start to first call, ms | with the last tags | KiB of an idle HTTP/2 connection |\n|---|---|---|---|---|---|---|\n")
	mib := func(size int64) string { return unless(float64(size)/(1<<20), "%.1f") }
	ms := func(d time.Duration) string { return unless(float64(d)/float64(time.Millisecond), "%.1f") }
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %.1f |\n", f.name, mib(f.stripped), mib(f.lean), mib(f.least),
			ms(f.start), ms(f.soonest), f.idle/(1<<10))
	}
	return b.String()
}
