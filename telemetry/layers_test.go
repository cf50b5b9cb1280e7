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
