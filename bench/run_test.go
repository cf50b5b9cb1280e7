//go:build !only && unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAServerThatDoesNotStartIsLeftOut(t *testing.T) {
	t.Parallel()
	failed := new(failures)
	// The program that is started is this test, which knows no -serve and ends.
	if s, err := start(contender{name: "nobody"}, nil); err == nil {
		s.stop()
		t.Error("it is said to have started")
	} else {
		failed.add("nobody", "start", err)
	}
	if got := failed.list(); !strings.Contains(got, "nobody, start: ") {
		t.Errorf("the report says %q", got)
	}
}

func TestAReportSaysWhatFailedAndWhatWasMissed(t *testing.T) {
	t.Parallel()
	unary := &workload{name: "unary-64", title: "gRPC unary"}
	res := &result{workload: unary, names: []string{everything, "connect-v2"}, made: 2, rounds: map[string][]sample{
		everything:   {{cpu: 50}, {cpu: 60}},
		"connect-v2": {{cpu: 100}, {cpu: 60}},
	}}
	failed := new(failures)
	failed.add("go-zero", "start", errors.New("it\ndoes not"))
	r := &report{bench: &bench{}, results: []*result{res}, failed: failed, footprints: []footprint{{name: everything, stripped: 25 << 20, lean: 20 << 20, least: 18 << 20, soonest: 40 * time.Millisecond}}}
	dir := t.TempDir()
	page := filepath.Join(dir, "benchmarks.md")
	if err := os.WriteFile(page, []byte("before "+begin+" old "+end+" after"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before " + begin, end + " after", "go-zero, start: it does not",
		"| everything on, default port, unary small, against bare Connect v2 | 0.75 | 0.75 | 0.50, 1.00 |",
		"| stripped binary, MiB, connectum-all | 24.00 | 25.00 (missed) |",
		"| the same, built with -tags grpcnotrace | 24.00 | 20.00 |",
		"| the same, built with -tags grpcnotrace,connectum_nootlp | 24.00 | 18.00 |",
		"| the same, built with -tags grpcnotrace,connectum_nootlp | 30.00 | 40.00 (missed) |",
		"### gRPC unary\n\n![CPU of a call](benchmarks/unary-64.svg)",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "ms from the start") {
		t.Error("it tells a start that was not measured")
	}
	if strings.Contains(string(got), " old ") {
		t.Error("the last run is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "benchmarks", "unary-64.svg")); err != nil {
		t.Error(err)
	}
}

// What says nothing in a workload is left out of it, and of all that is no workload.
func TestContendersOfSomeWorkloadsAreMeasuredInThoseAlone(t *testing.T) {
	t.Parallel()
	in := map[string][]string{}
	for _, c := range contenders {
		for i := range workloads {
			if c.ways != nil && workloads[i].suits(c) {
				in[c.name] = append(in[c.name], workloads[i].name)
			}
		}
		if c.ways != nil && (len(in[c.name]) != len(c.ways) || c.tag != "") {
			t.Errorf("%s is for %v, measured in %v, and has tag %q", c.name, c.ways, in[c.name], c.tag)
		}
	}
	if len(in) != 3 {
		t.Errorf("%v, want three contenders", in)
	}
}
