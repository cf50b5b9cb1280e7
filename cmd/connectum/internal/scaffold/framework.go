package scaffold

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// framework is the source that projects are built on.
type framework struct {
	dir     string
	mod     *modfile.File
	sum     []byte
	modules []*framework // of its own, which projects use besides
}

// withTelemetry adds the module of that name.
func (f *framework) withTelemetry() error {
	m, err := readModule(filepath.Join(f.dir, "telemetry"), telemetryModule)
	if err != nil {
		return err
	}
	f.modules = append(f.modules, m)
	return nil
}

const telemetryModule = project.Framework + "/telemetry"

// findFramework reads the framework in dir, or, where dir is empty, in the
// folder that this program was built from, which is empty when unknown.
func findFramework(dir, builtFrom string) (*framework, error) {
	if dir == "" {
		if dir = builtFrom; dir == "" {
			return nil, exit.With(exit.Refused, errors.New("this binary does not know where its source is (it was built with -trimpath, or has moved to another machine), "+
				"and the framework is not published yet: name its folder by --framework DIR"))
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return readModule(dir, project.Framework)
}

// readModule reads the module in dir, which must have that path.
func readModule(dir, path string) (*framework, error) {
	f := &framework{dir: dir}
	file := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, exit.With(exit.Refused, fmt.Errorf("no framework in %s: %w", dir, err))
	}
	if f.mod, err = modfile.Parse(file, text, nil); err != nil {
		return nil, exit.With(exit.Refused, err)
	}
	if f.mod.Module == nil || f.mod.Module.Mod.Path != path {
		return nil, exit.With(exit.Refused, fmt.Errorf("%s is not the module %s", dir, path))
	}
	f.sum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	return f, err
}

// builtFrom goes up from this file, whose place is in the binary unless it was
// built with -trimpath.
func builtFrom() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return ""
	}
	dir := filepath.Dir(file)
	for range 4 { // scaffold, internal, connectum, cmd
		dir = filepath.Dir(dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return ""
	}
	return dir
}

// goMod writes the go.mod of a project: what the framework requires, in the
// same releases, so that nothing is looked up; 'go mod tidy' leaves what the
// project needs.
func (f *framework) goMod(path string) ([]byte, error) {
	mod := new(modfile.File)
	if err := mod.AddModuleStmt(path); err != nil {
		return nil, err
	}
	if err := mod.AddGoStmt(f.mod.Go.Version); err != nil {
		return nil, err
	}
	for _, tool := range []string{"connectrpc.com/connect/v2/cmd/protoc-gen-connect-go", "google.golang.org/protobuf/cmd/protoc-gen-go"} {
		if err := mod.AddTool(tool); err != nil {
			return nil, err
		}
	}
	all := append([]*framework{f}, f.modules...)
	ours := make(map[string]bool)
	for _, m := range all {
		ours[m.mod.Module.Mod.Path] = true
	}
	const unpublished = "v0.0.0"
	var direct, indirect []*modfile.Require
	at := make(map[string]*modfile.Require)
	for _, m := range all {
		own := &modfile.Require{}
		own.Mod.Path, own.Mod.Version = m.mod.Module.Mod.Path, unpublished
		direct = append(direct, own)
		if err := mod.AddReplace(own.Mod.Path, "", m.dir, ""); err != nil {
			return nil, err
		}
		for _, r := range m.mod.Require {
			if ours[r.Mod.Path] {
				continue
			}
			if have := at[r.Mod.Path]; have != nil {
				if semver.Compare(r.Mod.Version, have.Mod.Version) > 0 {
					have.Mod.Version = r.Mod.Version
				}
				continue
			}
			needed := &modfile.Require{Mod: r.Mod}
			at[r.Mod.Path] = needed
			switch r.Mod.Path {
			case "connectrpc.com/connect/v2", "google.golang.org/protobuf", "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go":
				direct = append(direct, needed)
			default:
				needed.Indirect = true
				indirect = append(indirect, needed)
			}
		}
	}
	mod.SetRequireSeparateIndirect(append(direct, indirect...))
	mod.Cleanup()
	return mod.Format()
}

// goSum has what the modules have; 'go mod tidy' leaves what the project needs.
func (f *framework) goSum() []byte {
	sum := slices.Clone(f.sum)
	for _, m := range f.modules {
		sum = append(sum, m.sum...)
	}
	return sum
}
