package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	root  = "github.com/connectum-go/connectum"
	here  = root + "/cmd/connectum"
	inner = here + "/internal/"
)

// layers are the packages below internal/, by what they may import of those of
// lower layers. A package that is not here fails the test: decide where it
// belongs.
//
//	0  know nothing of ours
//	1  may tell exit codes
//	2  and 3  work on files, or with servers
//	4  do what a command is for
//	5  the commands
var layers = map[string]int{
	"exit": 0, "term": 0, "watch": 0, "load": 0, "pbgo": 0,
	"compile": 1, "target": 1,
	"project": 2, "probe": 2, "schema": 2,
	"generate": 3, "invoke": 3, "protosync": 3, "dev": 3,
	"scaffold": 4, "doctor": 4,
	"cli": 5,
}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, fault := range misplaced(pkg, strings.Fields(imports)) {
			t.Error(fault)
		}
	}
}

// The control: the rules refuse what they should.
func TestLayerRulesRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	for pkg, imported := range map[string]string{
		inner + "exit": inner + "term", inner + "compile": inner + "project", inner + "nowhere": "fmt", inner + "generate": inner + "cli",
		here: inner + "compile", inner + "schema": root + "/internal/wire", inner + "term": root,
	} {
		if len(misplaced(pkg, []string{imported})) == 0 {
			t.Errorf("%s may import %s", pkg, imported)
		}
	}
}

func misplaced(pkg string, imports []string) []string {
	name, below := strings.CutPrefix(pkg, inner)
	layer, known := layers[name]
	if below && !known {
		return []string{name + " has no layer: see layers_test.go"}
	}
	var faults []string
	for _, i := range imports {
		allowed := true
		switch imported, ours := strings.CutPrefix(i, inner); {
		case ours && !below:
			allowed = imported == "cli" || imported == "term"
		case ours:
			other, known := layers[imported]
			allowed = known && other < layer
		case strings.HasPrefix(i, root+"/internal/"):
			// Schemas alone, which a stranger would generate for himself.
			allowed = strings.HasPrefix(i, root+"/internal/gen/")
		case i == root || strings.HasPrefix(i, root+"/"):
			allowed = layer >= 2
		}
		if !allowed {
			faults = append(faults, pkg+" imports "+i)
		}
	}
	return faults
}

// What a project gets into its go.mod comes from its templates, not from here.
// Still, buf and its hundred modules stay out of this binary.
func TestTheBinaryLinksNoBuf(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	if !slices.Contains(modules, "github.com/bufbuild/protocompile") {
		t.Errorf("protocompile is not linked: %v", modules)
	}
	for _, banned := range []string{"github.com/bufbuild/buf", "google.golang.org/grpc", "github.com/stretchr/testify"} {
		if slices.Contains(modules, banned) {
			t.Errorf("the binary links %s", banned)
		}
	}
}
