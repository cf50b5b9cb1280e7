package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	root = "github.com/connectum-go/connectum"
	here = root + "/cmd/connectum"
)

// schemas are the internal packages of the root that the program may import:
// code of schemas, which a stranger would generate for himself.
const schemas = root + "/internal/gen/"

// tools are the packages below the command tree that know of none of ours: each
// could be a library of its own.
var tools = []string{"exit", "load", "term", "watch"}

// The command tree stands above everything, and nothing knows of it. What talks
// to servers and what works on files know of each other through it alone.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen++
		for _, i := range strings.Fields(imports) {
			if !mayImport(pkg, i) {
				t.Errorf("%s imports %s", pkg, i)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages", seen)
	}
}

// The control: the rules refuse what they should.
func TestImportRulesRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{here + "/internal/call", here + "/internal/cli"}, {here + "/internal/exit", here + "/internal/term"}, {here + "/internal/target", root},
		{here + "/internal/schema", root + "/internal/wire"}, {here + "/internal/target", here + "/internal/project"}, {here + "/internal/generate", here + "/internal/target"},
	} {
		if mayImport(c[0], c[1]) {
			t.Errorf("%s may import %s", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{here, here + "/internal/cli"}, {here + "/internal/cli", here + "/internal/project"}, {here + "/internal/probe", schemas + "connectum/health/v1"}, {here + "/internal/schema", "fmt"},
	} {
		if !mayImport(c[0], c[1]) {
			t.Errorf("%s may not import %s", c[0], c[1])
		}
	}
}

// onFiles and onServers are the two halves.
var (
	onFiles   = []string{"compile", "dev", "generate", "project", "scaffold"}
	onServers = []string{"doctor", "invoke", "probe", "protosync", "schema", "target"}
)

func mayImport(pkg, imported string) bool {
	if imported != root && !strings.HasPrefix(imported, root+"/") {
		return true
	}
	from, to := strings.TrimPrefix(pkg, here+"/internal/"), strings.TrimPrefix(imported, here+"/internal/")
	switch {
	case strings.HasPrefix(imported, schemas):
		return true
	case !strings.HasPrefix(imported, here+"/"):
		return false // the program is no server
	case pkg == here || from == "cli":
		return true
	case to == "cli" || slices.Contains(tools, from):
		return false
	}
	return !(slices.Contains(onFiles, from) && slices.Contains(onServers, to)) && !(slices.Contains(onServers, from) && slices.Contains(onFiles, to))
}
