//go:build !only && unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// report is a whole run.
type report struct {
	bench      *bench
	results    []*result
	footprints []footprint
	restarts   []*restarted
	failed     *failures
}

// text is the run as Markdown.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`GOWORK=off go run . %s` on %s, %s; %s.\n", strings.Join(os.Args[1:], " "), time.Now().Format(time.DateOnly), machine(), r.bench.pinned)
	fmt.Fprintf(&b, "Medians of the rounds after one that warms up (%s); ratios are medians of the ratios within the rounds. CPU: %s. %s\n\n", r.rounds(), cpuSource, versions())
	b.WriteString("| server | what it contains |\n|---|---|\n")
	for _, s := range r.bench.servers {
		fmt.Fprintf(&b, "| %s | %s |\n", s.name, s.about)
	}
	b.WriteString("\n")
	if len(*r.failed) > 0 {
		b.WriteString("### What failed, and is left out\n\n" + r.failed.list() + "\n")
	}
	if goals := goalTable(r.results, r.footprints); goals != "" {
		b.WriteString("### Goals\n\n| goal | at most | got | rounds from, to |\n|---|---|---|---|\n" + goals + "\n")
	}
	for _, res := range r.results {
		b.WriteString(res.table() + "\n")
	}
	if r.footprints != nil {
		b.WriteString("### Footprint\n\n" + footprintTable(r.footprints) + "\n")
	}
	if r.restarts != nil {
		b.WriteString("### Rolling restarts\n\n" + restartTable(r.restarts) + "\n")
	}
	return b.String()
}

// rounds says how many rounds were made of the workloads.
func (r *report) rounds() string {
	least, most := 0, 0
	for i, res := range r.results {
		if i == 0 || res.made < least {
			least = res.made
		}
		most = max(most, res.made)
	}
	if least == most {
		return fmt.Sprint(most)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

const begin, end = "<!-- bench:begin -->", "<!-- bench:end -->"

// write puts the run into benchmarks.md between its marks, and a chart of each
// workload beside it.
func (r *report) write(docs string) error {
	page := filepath.Join(docs, "benchmarks.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %s and %s", page, begin, end)
	}
	dir := filepath.Join(docs, "benchmarks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := r.text()
	var faults []error
	for _, res := range r.results {
		file := res.name + ".svg"
		faults = append(faults, os.WriteFile(filepath.Join(dir, file), []byte(res.chart()), 0o644))
		text = strings.Replace(text, res.heading(), res.heading()+"![CPU of a call](benchmarks/"+file+")\n\n", 1)
	}
	faults = append(faults, os.WriteFile(page, []byte(head+begin+"\n"+text+end+tail), 0o644))
	return errors.Join(faults...)
}

// machine says on what the run was made.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s %s, %s, %d cores", runtime.GOOS, runtime.Version(), model, cores)
}

// cores is how many there were before the load was pinned.
var cores = runtime.NumCPU()

// versions says what was compared.
func versions() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var out []string
	for _, m := range info.Deps {
		switch m.Path {
		case "connectrpc.com/connect", "connectrpc.com/connect/v2", "connectrpc.com/otelconnect", "connectrpc.com/validate", "buf.build/go/protovalidate",
			"google.golang.org/grpc", "google.golang.org/protobuf", "go.opentelemetry.io/otel/sdk", "github.com/grpc-ecosystem/go-grpc-middleware/v2",
			"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", "github.com/go-kratos/kratos/v2", "github.com/zeromicro/go-zero", "go.uber.org/zap",
			"github.com/cloudwego/kitex", "github.com/kitex-contrib/obs-opentelemetry":
			out = append(out, m.Path+" "+m.Version)
		}
	}
	return "Versions: " + strings.Join(out, ", ") + "."
}
