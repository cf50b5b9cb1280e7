// Package tool finds the programs that other modules of the repository pin: it
// has the go command build them, which keeps them in its build cache.
package tool

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Path returns the program of that name, which the module in the folder
// tools/module pins. Nothing is installed and nothing is left behind but what
// the go command caches; the first time on a machine the module is downloaded
// and built.
func Path(t testing.TB, module, name string) string {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("go", "tool", "-n", name)
	cmd.Dir = filepath.Join(Root(t), "tools", module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=") // outside the workspace, as pinned
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build %s of tools/%s: %v\n%s", name, module, err, said.Bytes())
	}
	// Of a path with spaces go prints a quoted one.
	path := strings.Trim(strings.TrimSpace(string(out)), `"'`)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s of tools/%s: %v", name, module, err)
	}
	return path
}

// Root returns the folder of the repository, which tests are run below.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.work here or above")
		}
		dir = parent
	}
}
