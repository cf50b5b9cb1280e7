package generate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// repository is the root of the framework, whose own generated code buf and the
// plugins of tools/go.mod have made; `go run tools/generate/main.go -check`
// holds it to them.
const repository = "../../../.."

// newProject makes a project that pins the generators as the repository does.
func newProject(t *testing.T, module string, files map[string]string) *project.Project {
	t.Helper()
	dir := t.TempDir()
	sum, err := os.ReadFile(filepath.Join(repository, "tools", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	files["go.sum"] = string(sum)
	files["go.mod"] = "module " + module + "\n\ngo 1.26.0\n\nrequire (\n\tconnectrpc.com/connect/v2 v2.0.2\n\tgoogle.golang.org/protobuf v1.36.12\n)\n"
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := project.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tree reads the files below dir whose names end in ext.
func tree(t *testing.T, dir, ext string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ext) {
			return err
		}
		text, err := os.ReadFile(file)
		rel, relErr := filepath.Rel(dir, file)
		if relErr != nil {
			return relErr
		}
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("nothing to compare with")
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s differs: %d bytes, want %d", name, len(got[name]), len(text))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is too much", name)
		}
	}
}

// Byte by byte: what buf and the released plugins wrote for the protos of the
// repository, with rules of protovalidate, all kinds of calls and fields.
func TestCodeIsWhatBufAndThePluginsWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ protos, gen, module string }{
		{"examples/proto", "examples/gen", "github.com/connectum-go/connectum/examples"},
		{"internal/proto", "internal/gen", "github.com/connectum-go/connectum/internal"},
	} {
		t.Run(c.protos, func(t *testing.T) {
			t.Parallel()
			files := make(map[string]string)
			for name, text := range tree(t, filepath.Join(repository, c.protos), ".proto") {
				files["proto/"+name] = text
			}
			p := newProject(t, c.module, files)
			if _, err := generate.Run(t.Context(), p, generate.Options{}); err != nil {
				t.Fatal(err)
			}
			same(t, tree(t, filepath.Join(p.Dir, "gen"), ".go"), tree(t, filepath.Join(repository, c.gen), ".go"))
		})
	}
}

// The same against the plugins alone, as the project runs them when it names
// them by a command that is not known to be its own release: with comments,
// deprecations, editions, options of others, services in one package.
func TestCodeIsWhatThePluginsOfTheToolsWrite(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for _, pkg := range []string{"google.golang.org/protobuf/cmd/protoc-gen-go", "connectrpc.com/connect/v2/cmd/protoc-gen-connect-go"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin+string(filepath.Separator), pkg)
		cmd.Dir, cmd.Env = filepath.Join(repository, "tools"), append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	protos, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	const config = `version: v2
managed:
  enabled: true
  override:
    - {file_option: go_package_prefix, value: example.com/corpus/out}
plugins:
  - {local: GO, out: out, opt: paths=source_relative}
  - {local: CONNECT, out: out, opt: paths=source_relative}
`
	outputs := make([]map[string]string, 2)
	for i, names := range [][2]string{
		{"protoc-gen-go", "[go, tool, protoc-gen-connect-go]"},
		{filepath.Join(bin, "protoc-gen-go"), filepath.Join(bin, "protoc-gen-connect-go")},
	} {
		files := corpus(string(protos))
		files["buf.gen.yaml"] = strings.NewReplacer("GO,", names[0]+",", "CONNECT", names[1]).Replace(config)
		p := newProject(t, "example.com/corpus", files)
		r, err := generate.Run(t.Context(), p, generate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Written) < 5 || !slices.Contains(r.Written, "out/b/v1/b.pb.go") {
			t.Errorf("wrote %v", r.Written)
		}
		outputs[i] = tree(t, filepath.Join(p.Dir, "out"), ".go")
	}
	same(t, outputs[0], outputs[1])
}

// corpus splits files that begin with "== name".
func corpus(text string) map[string]string {
	files := make(map[string]string)
	for part := range strings.SplitSeq(text, "== ") {
		if name, body, ok := strings.Cut(part, "\n"); ok && name != "" {
			files["proto/"+name] = body
		}
	}
	return files
}
