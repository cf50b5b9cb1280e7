package project

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
)

// Buf is what generating needs of buf.yaml: where protos are.
type Buf struct {
	Modules []BufModule
}

// BufModule is a folder of protos.
type BufModule struct {
	Path     string   // relative to the project, slash-separated
	Includes []string // if any, only files below these
	Excludes []string // no files below these
}

type bufFile struct {
	Version string `yaml:"version"`
	Modules []struct {
		Path     string   `yaml:"path"`
		Includes []string `yaml:"includes"`
		Excludes []string `yaml:"excludes"`
	} `yaml:"modules"`
}

// readBuf reads buf.yaml. Without one, protos are in proto/.
func readBuf(root string) (Buf, error) {
	var file bufFile
	// Names, lint rules and dependencies have nothing to do with generating.
	found, err := readYAML(filepath.Join(root, "buf.yaml"), false, &file)
	if err != nil {
		return Buf{}, err
	}
	if !found {
		return Buf{Modules: []BufModule{{Path: "proto"}}}, nil
	}
	if file.Version != "v2" {
		return Buf{}, fmt.Errorf("buf.yaml: version %q: want v2; 'buf config migrate' makes it", file.Version)
	}
	var b Buf
	for _, m := range file.Modules {
		module := BufModule{Path: clean(m.Path)}
		for _, p := range m.Includes {
			module.Includes = append(module.Includes, clean(p))
		}
		for _, p := range m.Excludes {
			module.Excludes = append(module.Excludes, clean(p))
		}
		b.Modules = append(b.Modules, module)
	}
	if len(b.Modules) == 0 {
		b.Modules = []BufModule{{Path: "."}}
	}
	for _, m := range b.Modules {
		if err := inside(m.Path); err != nil {
			return Buf{}, fmt.Errorf("buf.yaml: modules: %w", err)
		}
	}
	return b, nil
}

// Sources returns the protos of the project, less those that the inputs of
// buf.gen.yaml leave out; these may be imported still.
func (p *Project) Sources() (compile.Sources, error) {
	s := compile.Sources{Files: make(map[string]string)}
	for _, m := range p.Buf.Modules {
		root := filepath.Join(p.Dir, filepath.FromSlash(m.Path))
		s.Roots = append(s.Roots, root)
		files, err := compile.Find(root, func(file string) bool {
			rel := p.rel(file)
			return below(rel, m.Excludes) || p.isOther(file) ||
				len(m.Includes) > 0 && filepath.Ext(file) == ".proto" && !below(rel, m.Includes)
		})
		if errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("no folder %s for protos: %w", m.Path, err)
		}
		if err != nil {
			return s, err
		}
		for path, file := range files {
			if other, twice := s.Files[path]; twice && other != file {
				return s, fmt.Errorf("%s is in %s and in %s: imports could mean either", path, p.rel(other), p.rel(file))
			}
		}
		maps.Copy(s.Files, files)
	}
	maps.DeleteFunc(s.Files, func(_, file string) bool { return !p.Gen.takes(p.rel(file)) })
	return s, nil
}

// isOther tells whether file is a folder of dependencies or a module of its own.
func (p *Project) isOther(file string) bool {
	switch filepath.Base(file) {
	case "vendor", "node_modules":
		return true
	}
	if filepath.Ext(file) == ".proto" {
		return false
	}
	_, err := os.Stat(filepath.Join(file, "go.mod"))
	return err == nil && file != p.Dir
}

func (p *Project) rel(file string) string {
	rel, err := filepath.Rel(p.Dir, file)
	if err != nil {
		return file
	}
	return filepath.ToSlash(rel)
}

// below tells whether the file is one of dirs or in one.
func below(file string, dirs []string) bool {
	for _, dir := range dirs {
		if dir == "." || file == dir || strings.HasPrefix(file, dir+"/") {
			return true
		}
	}
	return false
}

func clean(path string) string { return filepath.ToSlash(filepath.Clean(filepath.FromSlash(path))) }

// inside refuses paths that lead out of the project.
func inside(path string) error {
	if path != "." && !filepath.IsLocal(filepath.FromSlash(path)) {
		return fmt.Errorf("%s is not below the project", path)
	}
	return nil
}

// readYAML reads a file into dst and reports whether there is one.
func readYAML(file string, strict bool, dst any) (bool, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(strict)
	if err := decoder.Decode(dst); err != nil && !errors.Is(err, io.EOF) {
		return true, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return true, nil
}

// Folders are where protos are, for people.
func (p *Project) Folders() []string {
	dirs := make([]string, len(p.Buf.Modules))
	for i, m := range p.Buf.Modules {
		dirs[i] = m.Path
	}
	return dirs
}
