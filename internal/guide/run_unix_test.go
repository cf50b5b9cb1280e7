//go:build unix

package guide_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

// A page may stay in a folder, and have a server run while it goes on.
func TestRunAServer(t *testing.T) {
	t.Parallel()
	up := map[string]*regexp.Regexp{"./serve": regexp.MustCompile("^up$")}
	const server = "```sh\nmkdir sub\ncd sub\n```\n\n```sh\ncat > serve <<'EOF'\n#!/bin/sh\ntrap 'echo over > over; exit CODE' INT\necho up >&2\n" +
		"while :; do read x < pipe; done\nEOF\nchmod +x serve\nmkfifo pipe\n./serve\ncat over 2>&1 || true\n```\n\n```text\ncat: over: No such file or directory\n```\n"
	for name, c := range map[string]struct {
		page string
		bad  bool
	}{
		"ends well":  {strings.ReplaceAll(server, "CODE", "0"), false},
		"ends badly": {strings.ReplaceAll(server, "CODE", "1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "page.md")
			if err := os.WriteFile(file, []byte(c.page), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &recorder{TB: t}
			guide.Run(r, file, guide.Setup{Dir: dir, Stay: true, Serve: up})
			if over, err := os.ReadFile(filepath.Join(dir, "sub", "over")); r.failed != c.bad || string(over) != "over\n" {
				t.Errorf("failed: %t, want %t; %q, %v", r.failed, c.bad, over, err)
			}
		})
	}
}

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
