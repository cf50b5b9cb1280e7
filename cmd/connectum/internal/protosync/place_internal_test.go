package protosync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree returns what is below dir: the text of files, and folders with a slash.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, _ := filepath.Rel(dir, file)
		if entry.IsDir() {
			out[filepath.ToSlash(name)+"/"] = ""
			return nil
		}
		text, err := os.ReadFile(file)
		out[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

var files = map[string][]byte{
	"a/v1/a.proto": []byte(Marker + "\nnew a"),
	"b.proto":      []byte(Marker + "\nnew b"),
	"c/c.proto":    []byte(Marker + "\nnew c"),
}

// behaviour 155: whichever step fails, what was there before is there again, and
// nothing else.
func TestAFailureLeavesWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	for _, existing := range []bool{false, true} {
		steps := 0
		for fail := 1; ; fail++ {
			above := t.TempDir()
			dir := filepath.Join(above, "deep", "out")
			if existing {
				write(t, filepath.Join(dir, "b.proto"), Marker+"\nold b")
				write(t, filepath.Join(dir, "mine.txt"), "mine")
			}
			before := tree(t, above)
			n := 0
			pl := &placer{rename: func(root *os.Root, from, to string) error {
				if n++; n == fail {
					return errors.New("no more")
				}
				return root.Rename(from, to)
			}}
			_, err := pl.place(dir, files, false)
			if err == nil {
				steps = fail - 1
				break // there are no further steps to fail
			}
			if diff := cmp.Diff(before, tree(t, above)); diff != "" {
				t.Errorf("existing %v, step %d failed: %s", existing, fail, diff)
			}
		}
		if steps < 3 {
			t.Errorf("only %d steps failed", steps)
		}
	}
}

func TestFilesArePlacedAndNothingElseIsLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	write(t, filepath.Join(dir, "b.proto"), Marker+"\nold b")
	write(t, filepath.Join(dir, "mine.txt"), "mine")
	placed, err := Place(dir, files, false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a/": "", "a/v1/": "", "a/v1/a.proto": Marker + "\nnew a", "b.proto": Marker + "\nnew b", "c/": "", "c/c.proto": Marker + "\nnew c", "mine.txt": "mine",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Placed{Written: []string{"a/v1/a.proto", "b.proto", "c/c.proto"}}, placed); diff != "" {
		t.Error(diff)
	}
	if placed, err = Place(dir, files, false); err != nil || len(placed.Written) > 0 || len(placed.Unchanged) != 3 {
		t.Errorf("again: %+v, %v", placed, err)
	}
}

func TestFilesOfOthersAreNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.proto"), "// with comments")
	before := tree(t, dir)
	for name, place := range map[string]func(string, map[string][]byte, bool) (*Placed, error){"plan": Plan, "place": Place} {
		if _, err := place(dir, files, false); err == nil {
			t.Errorf("%s takes it", name)
		}
		if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := Place(dir, files, true); err != nil {
		t.Error(err)
	}
	if got := tree(t, dir)["b.proto"]; got != Marker+"\nnew b" {
		t.Errorf("forced: %q", got)
	}
}

func TestLinksInTheFolderLeadNowhere(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	dir, outside := filepath.Join(above, "out"), filepath.Join(above, "outside")
	write(t, filepath.Join(outside, "keep"), "")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if placed, err := Place(dir, map[string][]byte{"a/b.proto": nil}, true); err == nil {
		t.Errorf("written: %+v", placed)
	}
	if diff := cmp.Diff(map[string]string{"keep": ""}, tree(t, outside)); diff != "" {
		t.Error(diff)
	}
}

func TestAFolderInTheWayIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.proto", "file"), "")
	before := tree(t, dir)
	if _, err := Place(dir, files, true); err == nil {
		t.Error("it is taken")
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Error(fmt.Sprint("left behind: ", diff))
	}
}
