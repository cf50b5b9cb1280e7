package project

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Gen is how code is generated: buf.gen.yaml, or the default layout.
type Gen struct {
	FromFile bool
	Managed  Managed
	Plugins  []Plugin
	Inputs   []Input
}

// Plugin is a generator of code.
type Plugin struct {
	Command []string // protoc-gen-go, or a command with arguments
	Out     string   // relative to the project, slash-separated
	Opt     string   // comma-separated
	PerDir  bool     // one run for each folder of protos, as buf does by default
}

// Name is the name of the generator, whichever way it is called: protoc-gen-go.
func (p Plugin) Name() string {
	return strings.TrimSuffix(path.Base(filepath.ToSlash(p.Command[len(p.Command)-1])), ".exe")
}

// Input is a folder of protos that code is generated for.
type Input struct {
	Directory string   `yaml:"directory"`
	Paths     []string `yaml:"paths"`
	Excludes  []string `yaml:"exclude_paths"`
}

// takes tells whether code is generated for a file.
func (g *Gen) takes(file string) bool {
	if len(g.Inputs) == 0 {
		return true
	}
	for _, in := range g.Inputs {
		if below(file, []string{in.Directory}) && (len(in.Paths) == 0 || below(file, in.Paths)) && !below(file, in.Excludes) {
			return true
		}
	}
	return false
}

// Managed decides about go_package options in place of the files.
type Managed struct {
	// KeepOwn leaves files that have a go_package as they are.
	KeepOwn   bool
	Overrides []Override
	Disables  []Disable
}

// Override sets the go_package of files below Path, the last that fits wins.
type Override struct {
	Prefix string // go_package_prefix, to which the folder is added
	Value  string // go_package, as it is
	Path   string
}

// Disable leaves files below Path as they are.
type Disable struct{ Path string }

// GoPackage returns the go_package of the file at path, whose own, of that
// proto package, is own.
func (m *Managed) GoPackage(path, pkg, own string) string {
	if m.KeepOwn && own != "" {
		return own
	}
	for _, d := range m.Disables {
		if below(path, []string{d.Path}) {
			return own
		}
	}
	for i := len(m.Overrides) - 1; i >= 0; i-- {
		o := m.Overrides[i]
		switch {
		case !below(path, []string{o.Path}):
		case o.Value != "":
			return o.Value
		default:
			return join(o.Prefix, path) + ";" + goName(path, pkg)
		}
	}
	return own
}

func join(prefix, file string) string {
	if dir := path.Dir(file); dir != "." {
		return prefix + "/" + dir
	}
	return prefix
}

var version = regexp.MustCompile(`^v[1-9][0-9]*(p[0-9]+)?((alpha|beta)[0-9]*|test.*)?$`)

// goName is the name buf gives: the last two parts of a package with a version,
// the last of one without.
func goName(file, pkg string) string {
	if pkg == "" {
		return strings.TrimSuffix(path.Base(file), ".proto")
	}
	parts := strings.Split(pkg, ".")
	last := parts[len(parts)-1]
	if len(parts) > 1 && version.MatchString(last) {
		return parts[len(parts)-2] + last
	}
	return last
}

// commandOrName is a string or a list of strings.
type stringOrList []string

func (l *stringOrList) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*l = stringOrList{node.Value}
		return nil
	}
	return node.Decode((*[]string)(l))
}

type genFile struct {
	Version string `yaml:"version"`
	Clean   bool   `yaml:"clean"` // what is stale goes in any case
	Managed struct {
		Enabled bool `yaml:"enabled"`
		Disable []struct {
			FileOption  string `yaml:"file_option"`
			FieldOption string `yaml:"field_option"`
			Field       string `yaml:"field"`
			Module      string `yaml:"module"`
			Path        string `yaml:"path"`
		} `yaml:"disable"`
		Override []struct {
			FileOption  string `yaml:"file_option"`
			FieldOption string `yaml:"field_option"`
			Field       string `yaml:"field"`
			Module      string `yaml:"module"`
			Path        string `yaml:"path"`
			Value       string `yaml:"value"`
		} `yaml:"override"`
	} `yaml:"managed"`
	Plugins []struct {
		Local    stringOrList `yaml:"local"`
		Remote   string       `yaml:"remote"`
		Builtin  string       `yaml:"protoc_builtin"`
		Out      string       `yaml:"out"`
		Opt      stringOrList `yaml:"opt"`
		Strategy string       `yaml:"strategy"`
	} `yaml:"plugins"`
	Inputs []Input `yaml:"inputs"`
}

// readGen reads buf.gen.yaml. Without one, code goes to gen/, into packages
// that follow the folders of the protos.
func readGen(root, module string) (Gen, error) {
	var file genFile
	// What is not understood here would be left out of the code in silence.
	found, err := readYAML(filepath.Join(root, "buf.gen.yaml"), true, &file)
	if err != nil {
		return Gen{}, fmt.Errorf("%w\nonly 'buf generate' knows what else there may be", err)
	}
	if !found {
		opt := "module=" + module + "/gen"
		return Gen{
			Managed: Managed{KeepOwn: true, Overrides: []Override{{Prefix: module + "/gen", Path: "."}}},
			Plugins: []Plugin{
				{Command: []string{"protoc-gen-go"}, Out: "gen", Opt: opt},
				{Command: []string{"protoc-gen-connect-go"}, Out: "gen", Opt: opt},
			},
		}, nil
	}
	gen, err := file.gen()
	if err != nil {
		return Gen{}, fmt.Errorf("buf.gen.yaml: %w", err)
	}
	return gen, nil
}

func (f *genFile) gen() (Gen, error) {
	if f.Version != "v2" {
		return Gen{}, fmt.Errorf("version %q: want v2; 'buf config migrate' makes it", f.Version)
	}
	g := Gen{FromFile: true, Inputs: f.Inputs}
	var faults []error
	if f.Managed.Enabled {
		for _, d := range f.Managed.Disable {
			switch {
			case d.FieldOption != "" || d.Field != "" || d.Module != "": // of other languages, or of what the binary brings along
			case d.FileOption == "" || d.FileOption == "go_package" || d.FileOption == "go_package_prefix":
				g.Managed.Disables = append(g.Managed.Disables, Disable{clean(d.Path)})
			}
		}
		for _, o := range f.Managed.Override {
			switch {
			case o.Module != "" || o.FieldOption != "":
			case o.FileOption == "go_package_prefix":
				g.Managed.Overrides = append(g.Managed.Overrides, Override{Prefix: strings.TrimSuffix(o.Value, "/"), Path: clean(o.Path)})
			case o.FileOption == "go_package":
				g.Managed.Overrides = append(g.Managed.Overrides, Override{Value: o.Value, Path: clean(o.Path)})
			}
		}
	}
	if len(f.Plugins) == 0 {
		faults = append(faults, errors.New("no plugins"))
	}
	for i, p := range f.Plugins {
		where := fmt.Sprintf("plugins[%d]", i)
		switch {
		case p.Remote != "":
			faults = append(faults, fmt.Errorf("%s: %s runs on a server elsewhere: name a local plugin, as in 'local: [go, tool, protoc-gen-go]'", where, p.Remote))
			continue
		case p.Builtin != "":
			faults = append(faults, fmt.Errorf("%s: protoc_builtin %s is a part of protoc: name a local plugin", where, p.Builtin))
			continue
		case len(p.Local) == 0 || p.Local[0] == "":
			faults = append(faults, fmt.Errorf("%s: no local plugin", where))
			continue
		case p.Strategy != "" && p.Strategy != "directory" && p.Strategy != "all":
			faults = append(faults, fmt.Errorf("%s: strategy %q: want directory or all", where, p.Strategy))
		}
		if err := inside(clean(p.Out)); err != nil {
			faults = append(faults, fmt.Errorf("%s: out: %w", where, err))
		}
		g.Plugins = append(g.Plugins, Plugin{
			Command: p.Local, Out: clean(p.Out), Opt: strings.Join(p.Opt, ","), PerDir: p.Strategy != "all",
		})
	}
	for i := range g.Inputs {
		in := &g.Inputs[i]
		if in.Directory == "" {
			faults = append(faults, fmt.Errorf("inputs[%d]: want a directory", i))
		}
		in.Directory = clean(in.Directory)
		for j := range in.Paths {
			in.Paths[j] = clean(in.Paths[j])
		}
		for j := range in.Excludes {
			in.Excludes[j] = clean(in.Excludes[j])
		}
	}
	return g, errors.Join(faults...)
}
