// Package project finds a user's project and reads what it says of itself:
// go.mod, buf.yaml and buf.gen.yaml.
package project

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Framework is the module path of the framework.
const Framework = "github.com/connectum-go/connectum"

// Project is a Go module and its protos.
type Project struct {
	Dir    string // of go.mod, absolute
	Module string
	Go     *modfile.File
	Buf    Buf
	Gen    Gen

	modules modules
}

// Open finds the project that dir is in: the next folder upwards with a go.mod.
func Open(dir string) (*Project, error) {
	root, err := findRoot(dir)
	if err != nil {
		return nil, err
	}
	p := &Project{Dir: root}
	file := filepath.Join(root, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if p.Go, err = modfile.Parse(file, text, nil); err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	if p.Go.Module == nil {
		return nil, exit.With(exit.Invalid, fmt.Errorf("%s has no module line", file))
	}
	p.Module = p.Go.Module.Mod.Path
	if p.Buf, err = readBuf(root); err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	if p.Gen, err = readGen(root, p.Module); err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	return p, nil
}

// ErrNone is the error of [Open] where there is no project.
var ErrNone = errors.New("no go.mod here or above: a project begins with 'connectum new NAME'")

func findRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", exit.With(exit.Refused, ErrNone)
		}
		dir = parent
	}
}

// Version returns the version of a module that go.mod requires, or empty when
// it requires none or replaces it: then only the go command knows.
func (p *Project) Version(module string) string {
	for _, r := range p.Go.Replace {
		if r.Old.Path == module {
			return ""
		}
	}
	for _, r := range p.Go.Require {
		if r.Mod.Path == module {
			return r.Mod.Version
		}
	}
	return ""
}

// Show names a file as seen from the folder base, for people: relative where
// that is shorter.
func Show(base, file string) string {
	if rel, err := filepath.Rel(base, file); err == nil && !strings.HasPrefix(rel, filepath.Join("..", "..", "..")) {
		return rel
	}
	return file
}

// Replaces tells whether go.mod replaces a module.
func (p *Project) Replaces(module string) bool {
	for _, r := range p.Go.Replace {
		if r.Old.Path == module {
			return true
		}
	}
	return false
}
