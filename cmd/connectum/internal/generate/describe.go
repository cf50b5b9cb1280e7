package generate

import (
	"context"
	"path"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// Described is a project's protos with the names that their Go code has.
type Described struct {
	plugin *protogen.Plugin
	suffix string
}

// Describe compiles the protos of a project, and those of overlay, by the path
// that imports name, as if they were there.
func Describe(ctx context.Context, p *project.Project, overlay map[string]string, show func(string) string) (*Described, error) {
	sources, err := p.Sources()
	if err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	sources.Overlay, sources.Show, sources.Elsewhere = overlay, show, p.FromModules
	if len(sources.Files)+len(overlay) == 0 {
		return &Described{plugin: new(protogen.Plugin)}, nil
	}
	compiled, err := compile.Compile(ctx, sources)
	if err != nil {
		return nil, err
	}
	s, err := newSchema(compiled, &p.Gen.Managed)
	if err != nil {
		return nil, err
	}
	d := &Described{suffix: "connect"}
	opt := ""
	for _, plugin := range p.Gen.Plugins {
		if plugin.Name() == "protoc-gen-connect-go" {
			opt = plugin.Opt
		}
	}
	d.plugin, err = protogen.Options{ParamFunc: func(name, value string) error {
		if name == "package_suffix" {
			d.suffix = value
		}
		return nil
	}}.New(proto.CloneOf(s.request(s.targets, opt)))
	if err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	return d, nil
}

// Message returns the file that has a message of that full name, which may be
// one that the binary brings along, and whether there is one.
func (d *Described) Message(full string) (file string, ok bool) {
	for _, f := range d.plugin.Files {
		if hasMessage(f.Messages, full) {
			return f.Desc.Path(), true
		}
	}
	return compile.LinkedMessage(full)
}

func hasMessage(messages []*protogen.Message, full string) bool {
	for _, m := range messages {
		if string(m.Desc.FullName()) == full || hasMessage(m.Messages, full) {
			return true
		}
	}
	return false
}

// Service returns a service by its full name, or nil.
func (d *Described) Service(full string) (*protogen.File, *protogen.Service) {
	for _, f := range d.plugin.Files {
		for _, s := range f.Services {
			if string(s.Desc.FullName()) == full {
				return f, s
			}
		}
	}
	return nil, nil
}

// Handlers returns the Go package that has the handlers of a file's services,
// and its name.
func (d *Described) Handlers(f *protogen.File) (importPath protogen.GoImportPath, name protogen.GoPackageName) {
	if d.suffix == "" {
		return f.GoImportPath, f.GoPackageName
	}
	name = f.GoPackageName + protogen.GoPackageName(d.suffix)
	return protogen.GoImportPath(path.Join(string(f.GoImportPath), string(name))), name
}

// GoPackages returns the go_package options of the files of a proto package.
func (d *Described) GoPackages(pkg string) []string {
	var options []string
	for _, f := range d.plugin.Files {
		if string(f.Desc.Package()) == pkg {
			options = append(options, f.Proto.GetOptions().GetGoPackage())
		}
	}
	return options
}

// PackageName returns the name of a Go package that a proto becomes, or empty.
func (d *Described) PackageName(importPath protogen.GoImportPath) string {
	for _, f := range d.plugin.Files {
		if f.GoImportPath == importPath {
			return string(f.GoPackageName)
		}
	}
	return ""
}
