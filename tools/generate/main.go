// Command generate makes the generated code of the repository from its protos:
//
//	go run tools/generate/main.go          # write it
//	go run tools/generate/main.go -check   # or report how it differs
//	go run tools/generate/main.go -include # or only fetch what the protos import
//
// It needs Go and nothing else. Every tool is built from the versions that
// tools/go.mod and tools/buf/go.mod pin, and the rules of protovalidate that
// protos import come from the release pinned below.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The protovalidate release whose validate.proto our protos import. It holds no
// Go package, so go.mod cannot keep it; its go.sum line stands here instead.
// Bump it together with buf.build/go/protovalidate.
const (
	protovalidate    = "github.com/bufbuild/protovalidate@v1.2.2"
	protovalidateSum = "h1:2H/9/Kr97etSRqW3IJjTTb09z+zutkK2GDhDRbOnqr4="
)

// sources hold what we wrote, outputs what is generated from it and nothing else.
var (
	sources = []string{"internal/proto", "examples/proto", "bench/proto"}
	outputs = []string{"internal/gen", "examples/gen", "conformance/internal/gen", "bench/internal/gen"}
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail when the protos or the generated code would change")
	include := flag.Bool("include", false, "only fill tools/include, for editors and grpcurl")
	flag.Parse()
	if err := run(*check, *include); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(check, include bool) (err error) {
	if err := enterRoot(); err != nil {
		return err
	}
	// The tools stand outside the workspace, and -modfile is refused in one.
	if err := os.Setenv("GOWORK", "off"); err != nil {
		return err
	}
	if err := errors.Join(includeProtovalidate(), includeConformance()); err != nil || include {
		return err
	}
	if err := formatAndLint(check); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp("", "connectum-gen-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	if err := buf("generate", "--output", fresh); err != nil {
		return err
	}
	if err := onlyOutputs(fresh); err != nil {
		return err
	}
	if check {
		return compare(fresh)
	}
	return replace(fresh)
}

// enterRoot goes up to the folder that holds buf.gen.yaml.
func enterRoot() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "buf.gen.yaml")); err == nil {
			return os.Chdir(dir)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return errors.New("no buf.gen.yaml here or above")
		}
		dir = parent
	}
}

// includeProtovalidate copies validate.proto to where buf.yaml looks for it: buf
// reads modules inside its workspace only.
func includeProtovalidate() error {
	dir, sum, err := download(".", protovalidate)
	if err != nil {
		return err
	}
	if sum != protovalidateSum {
		return fmt.Errorf("download %s: checksum %s, want %s", protovalidate, sum, protovalidateSum)
	}
	return copyProto(filepath.Join(dir, "proto/protovalidate"), "buf/validate/validate.proto")
}

// includeConformance copies the protos of the conformance suite, whose own code
// is internal to it, from the release that tools/conformance/go.mod pins.
func includeConformance() error {
	dir, _, err := download("tools/conformance", "connectrpc.com/conformance")
	if err != nil {
		return err
	}
	for _, name := range []string{"client_compat", "config", "server_compat", "service"} {
		if err := copyProto(filepath.Join(dir, "proto"), "connectrpc/conformance/v1/"+name+".proto"); err != nil {
			return err
		}
	}
	return nil
}

// download gets a module, in the version of the go.mod in from unless it names
// one, and returns its folder and checksum.
func download(from, name string) (dir, sum string, err error) {
	cmd := exec.Command("go", "mod", "download", "-json", name)
	cmd.Dir = from
	out, err := cmd.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil {
		return "", "", fmt.Errorf("download %s: %s: %w", name, module.Error, errors.Join(err, jsonErr))
	}
	return module.Dir, module.Sum, nil
}

func copyProto(from, file string) error {
	text, err := os.ReadFile(filepath.Join(from, file))
	if err != nil {
		return err
	}
	target := filepath.Join("tools/include", file)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, text, 0o644)
}

func formatAndLint(check bool) error {
	format := []string{"format", "--write"}
	if check {
		format = []string{"format", "--diff", "--exit-code"}
	}
	for _, dir := range sources {
		if err := buf(append(format, dir)...); err != nil {
			return err
		}
		if err := buf("lint", dir); err != nil {
			return err
		}
	}
	return nil
}

func buf(args ...string) error {
	cmd := exec.Command("go", append([]string{"tool", "-modfile=tools/buf/go.mod", "buf"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("buf %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// onlyOutputs refuses a go_package that leads outside the generated folders.
func onlyOutputs(fresh string) error {
	files, err := list(fresh)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !slices.ContainsFunc(outputs, func(dir string) bool { return strings.HasPrefix(file, dir+"/") }) {
			return fmt.Errorf("%s: not below %s", file, strings.Join(outputs, " or "))
		}
	}
	return nil
}

func replace(fresh string) error {
	for _, dir := range outputs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return os.CopyFS(".", os.DirFS(fresh))
}

func compare(fresh string) error {
	want, err := list(fresh)
	if err != nil {
		return err
	}
	var have []string
	for _, dir := range outputs {
		files, err := list(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			have = append(have, dir+"/"+file)
		}
	}
	var differ []error
	for _, file := range have {
		if !slices.Contains(want, file) {
			differ = append(differ, fmt.Errorf("%s: no proto generates it", file))
		}
	}
	for _, file := range want {
		if !slices.Contains(have, file) {
			differ = append(differ, fmt.Errorf("%s: missing", file))
			continue
		}
		a, aErr := os.ReadFile(file)
		b, bErr := os.ReadFile(filepath.Join(fresh, file))
		if err := errors.Join(aErr, bErr); err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			differ = append(differ, fmt.Errorf("%s: out of date", file))
		}
	}
	return errors.Join(differ...)
}

// list returns the files below dir, slash-separated; a missing dir has none.
func list(dir string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == ".":
			return nil
		case err == nil && !entry.IsDir():
			files = append(files, path)
		}
		return err
	})
	return files, err
}
