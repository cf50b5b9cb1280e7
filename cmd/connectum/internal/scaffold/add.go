package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// Add is a service to add to a project.
type Add struct {
	Service string // full name
	RPCs    []RPC  // the default is Get and its messages
	Show    func(file string) string
}

// Added is what was done.
type Added struct {
	Files        []string `json:"files"`        // relative to the project, slash-separated, sorted
	Registered   string   `json:"registered"`   // the file it is registered in, or empty
	Registration string   `json:"registration"` // the code that registers it
	Imports      []string `json:"imports"`      // that this code needs
	Missing      []string `json:"missing"`      // modules to get: see generate.Result
}

// Do adds the service: its proto, its generated code, an implementation that
// is to be written, a test of it, and its registration. It refuses to write
// where something is, and writes nothing when the proto does not compile.
func (a Add) Do(ctx context.Context, p *project.Project, progress func(string, ...any) func()) (*Added, error) {
	pkg, name, err := ParseService(a.Service)
	if err != nil {
		return nil, err
	}
	if p.Version(project.Framework) == "" && !p.Replaces(project.Framework) {
		return nil, exit.With(exit.Refused, fmt.Errorf("the module %s does not require %s", p.Module, project.Framework))
	}
	if len(a.RPCs) == 0 {
		a.RPCs = []RPC{{Name: "Get", In: "GetRequest", Out: "GetResponse"}}
	}
	have, err := generate.Describe(ctx, p, nil, a.Show)
	if err != nil {
		return nil, err
	}
	if f, s := have.Service(a.Service); s != nil {
		return nil, exit.With(exit.Refused, fmt.Errorf("%s is in %s already", a.Service, f.Desc.Path()))
	}
	base := strings.TrimSuffix(name, "Service")
	if base == "" {
		base = name
	}
	protoPath := path.Join(strings.ReplaceAll(pkg, ".", "/"), protoName(snake(base)))
	folder := packageName(base)
	if parts := strings.Split(pkg, "."); versionForm.MatchString(parts[len(parts)-1]) && parts[len(parts)-1] != "v1" {
		folder += parts[len(parts)-1]
	}
	protoFile := path.Join(p.Buf.Modules[0].Path, protoPath)
	stub, test := path.Join("internal", folder, "service.go"), path.Join("internal", folder, "service_test.go")
	for _, file := range []string{protoFile, path.Join("internal", folder)} {
		if _, err := os.Lstat(filepath.Join(p.Dir, filepath.FromSlash(file))); !errors.Is(err, fs.ErrNotExist) {
			return nil, exit.With(exit.Refused, fmt.Errorf("%s is there already: nothing was written", file))
		}
	}
	text, err := a.proto(have, p, pkg, name, protoPath)
	if err != nil {
		return nil, err
	}
	overlay := map[string]string{protoPath: text}
	described, err := generate.Describe(ctx, p, overlay, a.Show)
	if err != nil {
		return nil, err
	}
	code, err := newStub(described, a.Service, folder, path.Join(p.Module, "internal", folder))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{protoFile: []byte(text)}
	if files[stub], err = code.execute("add/service.go"); err != nil {
		return nil, err
	}
	if files[test], err = code.execute("add/service_test.go"); err != nil {
		return nil, err
	}
	added := &Added{Files: []string{}}
	place, edited, err := code.register(p, added)
	if err != nil {
		return nil, err
	}
	// From here on only the disk can fail.
	result, err := generate.Run(ctx, p, generate.Options{Overlay: overlay, Progress: progress, Show: a.Show})
	if err != nil {
		return nil, err
	}
	if edited != nil {
		files[place] = edited
	}
	if err := fill(p.Dir, files); err != nil {
		return nil, err
	}
	for file := range files {
		added.Files = append(added.Files, file)
	}
	added.Files = append(added.Files, result.Written...)
	added.Missing = result.Missing
	slices.Sort(added.Files)
	return added, nil
}

// proto writes the .proto file. Messages that the package has are used, others
// of it are written too.
func (a Add) proto(have *generate.Described, p *project.Project, pkg, name, protoPath string) (string, error) {
	var data struct {
		Package, Name, GoPackage string
		RPCs                     []RPC
		Imports, Messages        []string
	}
	data.Package, data.Name, data.RPCs = pkg, name, a.RPCs
	for i, r := range a.RPCs {
		if slices.ContainsFunc(a.RPCs[:i], func(o RPC) bool { return o.Name == r.Name }) {
			return "", exit.With(exit.Usage, fmt.Errorf("two methods named %s", r.Name))
		}
		for _, message := range []string{r.In, r.Out} {
			full := message
			if !strings.Contains(message, ".") {
				full = pkg + "." + message
			}
			file, ok := have.Message(full)
			switch {
			case ok && !slices.Contains(data.Imports, file):
				data.Imports = append(data.Imports, file)
			case ok || slices.Contains(data.Messages, message):
			case strings.Contains(message, "."):
				return "", exit.With(exit.Usage, fmt.Errorf("method %s: the project has no message %s, and connectum brings none along", r.Name, message))
			default:
				data.Messages = append(data.Messages, message)
			}
		}
	}
	slices.Sort(data.Imports)
	if p.Gen.Managed.GoPackage(protoPath, pkg, "") == "" {
		if others := have.GoPackages(pkg); len(others) > 0 {
			data.GoPackage = others[0]
		} else {
			return "", exit.With(exit.Refused, fmt.Errorf("nothing says which Go package %s becomes: set go_package_prefix in buf.gen.yaml, under managed", pkg))
		}
	}
	t, err := template.ParseFS(templates, "templates/add/service.proto.tmpl")
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = t.Execute(&out, data)
	return out.String(), err
}
