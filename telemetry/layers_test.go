package telemetry_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	root = "github.com/connectum-go/connectum"
	here = root + "/telemetry"
)

// allowed is what packages of this module may import of ours: the root's public
// API, as a stranger's plugin would; the test kit may import the other one.
var allowed = map[string][]string{
	here:                    {root},
	here + "/telemetrytest": {root, here, root + "/connectumtest"},
}

func TestPackagesImportOnlyThePublicRoot(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen++
		for _, fault := range misplaced(pkg, strings.Fields(imports)) {
			t.Error(fault)
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages, %d have rules", seen, len(allowed))
	}
	// The control.
	if len(misplaced(here, []string{root + "/internal/wire"})) == 0 || len(misplaced(here, []string{root + "/interceptor"})) == 0 {
		t.Error("the rules allow what is wrong")
	}
}

func misplaced(pkg string, imports []string) []string {
	var faults []string
	for _, i := range imports {
		if (i == root || strings.HasPrefix(i, root+"/")) && !slices.Contains(allowed[pkg], i) {
			faults = append(faults, pkg+" imports "+i)
		}
	}
	return faults
}

// What a program with telemetry takes in is what OpenTelemetry and Prometheus
// bring along, 45 modules with the root's and this one. One more is a decision
// (docs/decisions/2026-11-29-exporters.md).
func TestTheModulesThatAreLinkedAreCounted(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	slices.Sort(linked)
	linked = slices.Compact(linked)
	if n := len(linked); n > 45 || n < 30 {
		t.Errorf("%d modules are linked: %v", n, linked)
	}
	for _, m := range linked {
		if !slices.ContainsFunc(families, func(f string) bool {
			return m == strings.TrimSuffix(f, "/") || strings.HasPrefix(m, f) && strings.HasSuffix(f, "/")
		}) {
			t.Errorf("%s is linked", m)
		}
	}
}

// families are where modules may come from; with a slash at the end all below.
var families = []string{
	root + "/", "connectrpc.com/connect/v2",
	"go.opentelemetry.io/", "github.com/prometheus/", "google.golang.org/", "golang.org/x/",
	"github.com/beorn7/perks", "github.com/cenkalti/backoff/v5", "github.com/cespare/xxhash/v2", "github.com/munnerz/goautoneg",
	"github.com/go-logr/", "github.com/google/uuid", "github.com/grpc-ecosystem/grpc-gateway/v2",
}
