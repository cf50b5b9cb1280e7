package watch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/connectum-go/connectum/cmd/connectum/internal/watch"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDiffTellsWhatIsWrittenNewAndGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	tree := &watch.Tree{
		Roots: []string{dir},
		Want:  func(file string) bool { return filepath.Ext(file) == ".go" },
		Skip:  func(dir string) bool { return filepath.Base(dir) == "vendor" },
	}
	for _, name := range []string{"a.go", "b.go", "c/c.go", "d.txt", "vendor/v.go", ".git/g.go"} {
		write(t, at(name), "x")
	}
	before := tree.Look()
	if changed := tree.Look().Diff(before); len(changed) > 0 {
		t.Errorf("nothing has changed, and %v is told", changed)
	}
	write(t, at("a.go"), "xy")
	write(t, at("e/f/new.go"), "x")
	for _, name := range []string{"d.txt", "vendor/v.go", ".git/g.go"} {
		write(t, at(name), "xy")
	}
	if err := os.Remove(at("c/c.go")); err != nil {
		t.Fatal(err)
	}
	want := []string{at("a.go"), at("c/c.go"), at("e/f/new.go")}
	if diff := cmp.Diff(want, tree.Look().Diff(before)); diff != "" {
		t.Error(diff)
	}

	// Wait tells the same, for what happened before it was called too.
	_, changed, err := tree.Wait(t.Context(), before)
	if err != nil || cmp.Diff(want, changed) != "" {
		t.Errorf("waited for %v, %v", changed, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tree := &watch.Tree{Roots: []string{t.TempDir()}, Want: func(string) bool { return true }}
	if _, _, err := tree.Wait(ctx, tree.Look()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The tree that the framework itself is; docs/decisions has the figure.
func BenchmarkLook(b *testing.B) {
	tree := &watch.Tree{Roots: []string{"../../../.."}, Want: func(file string) bool { return strings.HasSuffix(file, ".go") }}
	b.ReportAllocs()
	for b.Loop() {
		tree.Look()
	}
}
