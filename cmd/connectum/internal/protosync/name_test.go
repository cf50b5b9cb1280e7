package protosync_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/protosync"
)

func TestNamesThatLeadOutAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", "..", "../a.proto", "a/../../b.proto", "/etc/a.proto", `a\b.proto`, `C:\a.proto`, "C:a.proto", "a//b.proto", "a/./b.proto",
		"a.txt", ".proto/x", ".hidden.proto", "a/.git/b.proto", "a\x00.proto", "a\n.proto", "-rf.proto", " a.proto", "a./b.proto",
		strings.Repeat("a/", 600) + "b.proto", strings.Repeat("a", 300) + ".proto",
	} {
		if protosync.CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{"a.proto", "a/v1/b.proto", "a-b/c_d.proto", "ä/b.proto"} {
		if err := protosync.CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

func TestNamesThatCannotStandSideBySideAreRefused(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"a/B.proto", "A/b.proto"}, {"a.proto", "a.proto/b.proto"}} {
		if protosync.CheckNames(names) == nil {
			t.Errorf("%q are taken", names)
		}
	}
	if err := protosync.CheckNames([]string{"a/b.proto", "a/c.proto", "a.proto"}); err != nil {
		t.Error(err)
	}
}

// Whatever a server calls its files, nothing is written outside the folder.
func FuzzNamesStayInTheFolder(f *testing.F) {
	for _, name := range []string{"a.proto", "../a.proto", "a/../b.proto", `..\a.proto`, "/a.proto", "a/b/c.proto", "a.proto/", "CON.proto"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if protosync.CheckNames([]string{name}) != nil {
			return
		}
		above := t.TempDir()
		dir := filepath.Join(above, "out")
		_, err := protosync.Place(dir, map[string][]byte{name: []byte("x")}, false)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		entries, err := os.ReadDir(above)
		if err != nil || len(entries) != 1 || entries[0].Name() != "out" {
			t.Fatalf("%q: %v, %v", name, entries, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(text) != "x" {
			t.Fatalf("%q: %q, %v", name, text, err)
		}
	})
}
