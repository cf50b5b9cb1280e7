package project_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

func open(t *testing.T, files map[string]string) (*project.Project, error) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/m\n\ngo 1.26\n"
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return project.Open(dir)
}

const plugin = "\nplugins:\n  - {local: protoc-gen-go, out: gen}\n"

func TestGoPackagesAreManaged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, path, pkg, own, want string }{
		{"", "a/v1/a.proto", "a.v1", "", "example.com/m/gen/a/v1;av1"},
		{"", "a/v1/a.proto", "a.v1", "example.com/own", "example.com/own"},
		{"", "a.proto", "", "", "example.com/m/gen;a"},
		{"", "x/x.proto", "one.two", "", "example.com/m/gen/x;two"},
		{"version: v2" + plugin, "a/v1/a.proto", "a.v1", "", ""},
		{"version: v2\nmanaged: {enabled: true, override: [{file_option: go_package_prefix, value: p}]}" + plugin, "a/v1/a.proto", "a.v1", "own", "p/a/v1;av1"},
		{"version: v2\nmanaged: {enabled: false, override: [{file_option: go_package_prefix, value: p}]}" + plugin, "a/v1/a.proto", "a.v1", "own", "own"},
		{"version: v2\nmanaged: {enabled: true, disable: [{file_option: go_package, path: a}], override: [{file_option: go_package_prefix, value: p}]}" + plugin, "a/v1/a.proto", "a.v1", "own", "own"},
		{"version: v2\nmanaged: {enabled: true, override: [{file_option: go_package_prefix, value: p}, {file_option: go_package, path: a/v1, value: q;r}]}" + plugin, "a/v1/a.proto", "a.v1", "own", "q;r"},
		{"version: v2\nmanaged: {enabled: true, override: [{file_option: java_package, value: p}]}" + plugin, "a/v1/a.proto", "a.v1", "own", "own"},
	} {
		files := map[string]string{}
		if c.config != "" {
			files["buf.gen.yaml"] = c.config
		}
		p, err := open(t, files)
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		if got := p.Gen.Managed.GoPackage(c.path, c.pkg, c.own); got != c.want {
			t.Errorf("%s\n%s: %q, want %q", c.config, c.path, got, c.want)
		}
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"version: v1\n":               `version "v1": want v2`,
		"version: v2\n":               "no plugins",
		"version: v2\nsurprise: true": "surprise",
		"version: v2\nplugins: [{remote: buf.build/protocolbuffers/go, out: gen}]": "runs on a server elsewhere",
		"version: v2\nplugins: [{protoc_builtin: java, out: gen}]":                 "a part of protoc",
		"version: v2\nplugins: [{local: protoc-gen-go, out: ../up}]":               "../up is not below the project",
		"version: v2\nplugins: [{local: protoc-gen-go, out: /tmp}]":                "/tmp is not below the project",
		"version: v2\nplugins: [{local: [], out: gen}]":                            "no local plugin",
		"version: v2\ninputs: [{}]" + plugin:                                       "want a directory",
		"version: v2\ninputs: [{git_repo: x}]" + plugin:                            "git_repo",
		"{": "buf.gen.yaml",
	} {
		_, err := open(t, map[string]string{"buf.gen.yaml": config})
		if exit.Code(err) != exit.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", config, err, want)
		}
	}
}

func TestModulesInputsAndExcludesChooseTheProtos(t *testing.T) {
	t.Parallel()
	files := map[string]string{"buf.yaml": "version: v2\nmodules:\n  - {path: one, excludes: [one/not]}\n  - {path: two}\nlint: {use: [STANDARD]}\n",
		"buf.gen.yaml": "version: v2\ninputs: [{directory: one, exclude_paths: [one/later]}]" + plugin}
	for _, name := range []string{"one/a.proto", "one/not/b.proto", "one/later/c.proto", "two/d.proto", "one/.x/e.proto", "one/vendor/f.proto"} {
		files[name] = ""
	}
	p, err := open(t, files)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Sources()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.proto"}, slices.Sorted(maps.Keys(s.Files))); diff != "" {
		t.Error(diff)
	}
}

func TestOnePathInTwoModulesIsRefused(t *testing.T) {
	t.Parallel()
	p, err := open(t, map[string]string{"buf.yaml": "version: v2\nmodules: [{path: one}, {path: two}]", "one/a.proto": "", "two/a.proto": ""})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sources(); err == nil || !strings.Contains(err.Error(), "one/a.proto and in two/a.proto") {
		t.Errorf("%v", err)
	}
}
