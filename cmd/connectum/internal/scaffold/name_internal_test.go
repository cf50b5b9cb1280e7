package scaffold

import (
	"go/build"
	"go/token"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

func TestNamesBecomePackagesAndTypes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][3]string{
		"shop":         {"shop", "Shop", "shop"},
		"user-profile": {"userprofile", "UserProfile", "user_profile"},
		"health":       {"healthsvc", "Health", "health"}, // main imports one of that name
		"type":         {"typesvc", "Type", "type"},
		"string":       {"stringsvc", "String", "string"},
		"HTTPProxy":    {"httpproxy", "HTTPProxy", "http_proxy"},
	} {
		if got := [3]string{packageName(name), typeName(name), snake(typeName(name))}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Go code in a file called store_js.pb.go would be built for browsers alone.
func TestCodeOfAServiceIsBuiltEverywhere(t *testing.T) {
	t.Parallel()
	elsewhere := build.Context{GOOS: "none", GOARCH: "none", OpenFile: func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("package p\n")), nil
	}}
	for _, name := range append([]string{"none", "test", "service", "unix"}, platforms...) {
		for _, snake := range []string{name, "store_" + name, "store_" + name + "_" + name} {
			file := strings.TrimSuffix(protoName(snake), ".proto") + ".pb.go"
			if ok, err := elsewhere.MatchFile("/", file); !ok || err != nil {
				t.Errorf("%s is left out: %v", file, err)
			}
		}
	}
	if ok, err := elsewhere.MatchFile("/", "store_js.pb.go"); ok || err != nil {
		t.Errorf("the control is built: %v", err)
	}
}

func TestWithoutASourceTheFrameworkIsAskedFor(t *testing.T) {
	t.Parallel()
	if _, err := findFramework("", ""); exit.Code(err) != exit.Refused || !strings.Contains(err.Error(), "--framework DIR") {
		t.Errorf("built without paths: %v", err)
	}
	if _, err := findFramework(t.TempDir(), ""); exit.Code(err) != exit.Refused {
		t.Errorf("an empty folder: %v", err)
	}
	f, err := findFramework("", builtFrom())
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.Abs("../../../.."); f.dir != want {
		t.Errorf("built from %s, want %s", f.dir, want)
	}
}

// What is accepted is a folder, a label of DNS and, less its hyphens, a package.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"shop", "a-b", "-", "a--b", "../x", "A", "go", "x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := checkName(name); err != nil {
			if exit.Code(err) != exit.Usage {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if !filepath.IsLocal(name) || filepath.Base(name) != name || len(name) > 63 || strings.ToLower(name) != name {
			t.Errorf("%q is a name", name)
		}
		if pkg := packageName(name); !token.IsIdentifier(pkg) {
			t.Errorf("%q became the package %q", name, pkg)
		}
	})
}
