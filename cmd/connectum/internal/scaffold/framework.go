package scaffold

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/mod/modfile"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// framework is the source that projects are built on.
type framework struct {
	dir string
	mod *modfile.File
	sum []byte
}

// findFramework reads the framework in dir, or, where dir is empty, in the
// folder that this program was built from.
func findFramework(dir string) (*framework, error) {
	if dir == "" {
		var ok bool
		if dir, ok = builtFrom(); !ok {
			return nil, exit.With(exit.Refused, errors.New("this binary does not know where its source is (it was built with -trimpath, or has moved to another machine), "+
				"and the framework is not published yet: name its folder by --framework DIR"))
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	f := &framework{dir: dir}
	file := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, exit.With(exit.Refused, fmt.Errorf("no framework in %s: %w", dir, err))
	}
	if f.mod, err = modfile.Parse(file, text, nil); err != nil {
		return nil, exit.With(exit.Refused, err)
	}
	if f.mod.Module == nil || f.mod.Module.Mod.Path != project.Framework {
		return nil, exit.With(exit.Refused, fmt.Errorf("%s is not the module %s", dir, project.Framework))
	}
	f.sum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	return f, err
}

// builtFrom goes up from this file, whose place is in the binary unless it was
// built with -trimpath.
func builtFrom() (string, bool) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", false
	}
	dir := filepath.Dir(file)
	for range 4 { // scaffold, internal, connectum, cmd
		dir = filepath.Dir(dir)
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return dir, err == nil
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
	const unpublished = "v0.0.0"
	var direct, indirect []*modfile.Require
	direct = append(direct, &modfile.Require{})
	direct[0].Mod.Path, direct[0].Mod.Version = project.Framework, unpublished
	for _, r := range f.mod.Require {
		switch r.Mod.Path {
		case "connectrpc.com/connect/v2", "google.golang.org/protobuf", "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go":
			direct = append(direct, &modfile.Require{Mod: r.Mod})
		default:
			indirect = append(indirect, &modfile.Require{Mod: r.Mod, Indirect: true})
		}
	}
	mod.SetRequireSeparateIndirect(append(direct, indirect...))
	if err := mod.AddReplace(project.Framework, "", f.dir, ""); err != nil {
		return nil, err
	}
	mod.Cleanup()
	return mod.Format()
}
