//go:build unix

package guide_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page string
		bad  bool
	}{
		"as it says":       {"```sh\necho one\necho two\n```\n\n```text\none\ntwo\n```\n", false},
		"otherwise":        {"```sh\necho one\n```\n\n```text\ntwo\n```\n", true},
		"a console":        {"```console\n$ echo one\none\n```\n", false},
		"a false console":  {"```console\n$ echo one\ntwo\n```\n", true},
		"folded JSON":      {"```sh\necho '{" + `"a": 1,"b":2` + "}'\n```\n\n```json\n{" + `"a":1,` + "\n " + `"b":2` + "}\n```\n", false},
		"a failure":        {"```sh\nfalse\n```\n", true},
		"no block of text": {"```sh\necho one\n```\n\nand then\n\n```text\ntwo\n```\n", false},
		"a document":       {"```sh\ncat > x <<'EOF'\none\nEOF\ncat x\n```\n\n```text\none\n```\n", false},
		"nothing to run":   {"```go\nx := 1\n```\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "page.md")
			if err := os.WriteFile(file, []byte(c.page), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &recorder{TB: t}
			guide.Run(r, file, guide.Setup{Dir: t.TempDir()})
			if r.failed != c.bad {
				t.Errorf("failed: %t, want %t", r.failed, c.bad)
			}
		})
	}
}
