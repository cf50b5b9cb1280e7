package connectum_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/connectum-go/connectum"

// layers are the packages of this module, by what they may import of it. A
// package that is not here fails the test: decide where it belongs.
//
//	0  the root and internal/: nothing of the module but internal/
//	1  extensions: the root's public API, never a sibling, as a stranger's plugin would
//	2  the assembler: validate and resilience besides
//	3  tools for users
var layers = map[string]int{
	"": 0,

	"cors": 1, "debug": 1, "env": 1, "health": 1, "reflection": 1, "resilience": 1, "validate": 1,

	"interceptor": 2,

	"connectumtest": 3, "connectumtest/fake": 3,
}

// generated are the internal packages that layers above may import: schemas,
// which a stranger would generate for himself.
const generated = "internal/gen/"

// schema is what they share of reading schemas: one answer to what is secret.
const schema = "internal/redact"

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	t.Parallel()
	for _, line := range list(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		pkg, imports, _ := strings.Cut(line, " ")
		for _, fault := range misplaced(pkg, strings.Fields(imports)) {
			t.Error(fault)
		}
	}
}

// The control: the rules refuse what they should.
func TestLayerRulesRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pkg, imported string }{
		{"", "health"}, {"health", "validate"}, {"health", "internal/wire"}, {"interceptor", "health"},
		{"validate", "interceptor"}, {"internal/wire", ""}, {"nowhere", ""},
	} {
		if len(misplaced(join(c.pkg), []string{join(c.imported)})) == 0 {
			t.Errorf("%q may import %q", c.pkg, c.imported)
		}
	}
	for _, c := range []struct{ pkg, imported string }{
		{"", "internal/wire"}, {"health", ""}, {"interceptor", "validate"}, {"health", "internal/gen/connectum/health/v1"},
		{"connectumtest", "connectumtest/fake"},
	} {
		if faults := misplaced(join(c.pkg), []string{join(c.imported)}); len(faults) > 0 {
			t.Errorf("%q may not import %q: %v", c.pkg, c.imported, faults)
		}
	}
}

func misplaced(pkg string, imports []string) []string {
	name := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if strings.Contains(name, "internal/") {
		inside, _, _ := strings.Cut(name, "internal/")
		if inside != "" {
			return nil // belongs to the package that holds it
		}
		if testing := []string{"internal/testservice", "internal/doors", "internal/leak", "internal/certs"}; slices.Contains(testing, name) {
			return nil // linked by tests alone
		}
		var faults []string
		for _, i := range imports {
			if in, ours := inModule(i); ours && !strings.HasPrefix(in, "internal/") {
				faults = append(faults, name+" imports "+i)
			}
		}
		return faults
	}
	layer, known := layers[name]
	if !known {
		return []string{name + " has no layer: see layers_test.go"}
	}
	var faults []string
	for _, i := range imports {
		in, ours := inModule(i)
		if !ours || strings.HasPrefix(in, name+"/internal/") {
			continue
		}
		allowed := false
		switch {
		case strings.HasPrefix(in, "internal/"):
			allowed = layer == 0 || layer == 3 || strings.HasPrefix(in, generated) || in == schema
		case layer == 0:
			allowed = false
		case layer == 1:
			allowed = in == ""
		case layer == 2:
			allowed = in == "" || in == "validate" || in == "resilience"
		case layer == 3:
			allowed = true
		}
		if !allowed {
			faults = append(faults, name+" (layer "+string(rune('0'+layer))+") imports "+i)
		}
	}
	return faults
}

func TestTheRootLinksConnectAndProtobufAlone(t *testing.T) {
	t.Parallel()
	var modules []string
	for _, line := range list(t, "-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`, ".") {
		if line != "" && !slices.Contains(modules, line) {
			modules = append(modules, line)
		}
	}
	slices.Sort(modules)
	want := []string{"connectrpc.com/connect/v2", module, "google.golang.org/protobuf"}
	if !slices.Equal(modules, want) {
		t.Errorf("the root links %v, want %v", modules, want)
	}
}

// Consumers get the go.sum lines of what the tests of a package they import
// need, so these need nothing.
func TestTheRootsTestsImportNothingOfOthers(t *testing.T) {
	t.Parallel()
	allowed := []string{"connectrpc.com/connect/v2", "google.golang.org/protobuf", module}
	for _, line := range list(t, "-f", `{{join .TestImports " "}} {{join .XTestImports " "}}`, ".") {
		for _, i := range strings.Fields(line) {
			first, _, _ := strings.Cut(i, "/")
			if strings.Contains(first, ".") && !slices.ContainsFunc(allowed, func(a string) bool { return i == a || strings.HasPrefix(i, a+"/") }) {
				t.Errorf("a test of the root imports %s", i)
			}
		}
	}
}

func join(pkg string) string {
	if pkg == "" {
		return module
	}
	return module + "/" + pkg
}

func inModule(pkg string) (string, bool) {
	if pkg == module {
		return "", true
	}
	return strings.CutPrefix(pkg, module+"/")
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
