package scaffold

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
)

// stub is what the templates of an implementation see.
type stub struct {
	Full, Name  string // shop.v1.OrderService, OrderService
	Package     string // order
	Handlers    string // shopv1connect
	Methods     []stubMethod
	Imports     []string // lines for the implementation
	TestImports []string // lines for its test

	registration registration
}

type stubMethod struct {
	Name, Comment, In, Out string // with packages: shopv1.GetRequest
	InStream, OutStream    bool
	Stream                 string // shopv1connect.OrderServiceWatchServerStream
}

// Kind is unary, server, client or bidi.
func (m stubMethod) Kind() string {
	switch {
	case m.InStream && m.OutStream:
		return "bidi"
	case m.InStream:
		return "client"
	case m.OutStream:
		return "server"
	}
	return "unary"
}

// registration is the code that registers the service.
type registration struct {
	handlers, implementation importSpec
	function                 string // RegisterOrderServiceHandler
}

// importSpec is an import: name is needed where it is not the last part of path.
type importSpec struct{ name, path string }

func (i importSpec) line() string {
	if path.Base(i.path) == i.name {
		return fmt.Sprintf("%q", i.path)
	}
	return fmt.Sprintf("%s %q", i.name, i.path)
}

// newStub describes the implementation in the package folder, whose import path
// is implementation.
func newStub(d *generate.Described, full, folder, implementation string) (*stub, error) {
	file, service := d.Service(full)
	if service == nil {
		return nil, fmt.Errorf("%s did not come out of its own proto", full)
	}
	handlersPath, handlersName := d.Handlers(file)
	handlers := importSpec{string(handlersName), string(handlersPath)}
	own := importSpec{folder, implementation}
	s := &stub{Full: full, Name: service.GoName, Package: folder, Handlers: handlers.name}
	s.registration = registration{handlers, own, "Register" + service.GoName + "Handler"}
	code, test := []string{handlers.line()}, []string{handlers.line(), own.line()}
	names := newNames(d, handlers, own)
	add := func(list *[]string, id protogen.GoIdent) {
		if line := names.of(id.GoImportPath).line(); !slices.Contains(*list, line) {
			*list = append(*list, line)
		}
	}
	for _, m := range service.Methods {
		method := stubMethod{
			Name:     m.GoName,
			In:       names.of(m.Input.GoIdent.GoImportPath).name + "." + m.Input.GoIdent.GoName,
			Out:      names.of(m.Output.GoIdent.GoImportPath).name + "." + m.Output.GoIdent.GoName,
			InStream: m.Desc.IsStreamingClient(), OutStream: m.Desc.IsStreamingServer(),
			Stream: fmt.Sprintf("%s.%s%sServerStream", handlersName, service.GoName, m.GoName),
		}
		s.Methods = append(s.Methods, method)
		if !method.InStream { // the message is an argument of both
			add(&code, m.Input.GoIdent)
			add(&test, m.Input.GoIdent)
		}
		if !method.OutStream { // the message is a result
			add(&code, m.Output.GoIdent)
		}
	}
	slices.Sort(code)
	slices.Sort(test)
	s.Imports, s.TestImports = code, test
	return s, nil
}

// names gives each Go package a name of its own in one file.
type names struct {
	described *generate.Described
	byPath    map[protogen.GoImportPath]importSpec
	taken     map[string]bool
}

func newNames(d *generate.Described, known ...importSpec) *names {
	n := &names{d, make(map[protogen.GoImportPath]importSpec), make(map[string]bool)}
	for _, name := range []string{"connect", "connectum", "connectumtest", "context", "testing", "client", "service", "stream", "err", "t"} {
		n.taken[name] = true
	}
	for _, i := range known {
		n.byPath[protogen.GoImportPath(i.path)] = i
		n.taken[i.name] = true
	}
	return n
}

func (n *names) of(path protogen.GoImportPath) importSpec {
	if i, ok := n.byPath[path]; ok {
		return i
	}
	i := importSpec{goPackageOf(n.described, path), string(path)}
	for n.taken[i.name] {
		i.name += "pb"
	}
	n.taken[i.name] = true
	n.byPath[path] = i
	return i
}

// goPackageOf names a Go package of messages.
func goPackageOf(d *generate.Described, importPath protogen.GoImportPath) string {
	if name := d.PackageName(importPath); name != "" {
		return name
	}
	return strings.NewReplacer("-", "", ".", "").Replace(path.Base(string(importPath)))
}

func (s *stub) execute(name string) ([]byte, error) { return execute(name, s) }
