package scaffold

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// register finds where the project registers services and returns that file,
// relative to the project, with the new one registered after the last. Without
// such a place, or with several, edited is nil, and added tells what to write.
func (s *stub) register(p *project.Project, added *Added) (file string, edited []byte, err error) {
	r := s.registration
	places, err := findPlaces(p.Dir)
	if err != nil {
		return "", nil, err
	}
	server := "srv.RPC()"
	if len(places) == 1 {
		server = places[0].server
		r.handlers.name = places[0].name(r.handlers)
		r.implementation.name = places[0].name(r.implementation)
	}
	added.Registration = fmt.Sprintf("%s.%s(%s, %s.Service{})", r.handlers.name, r.function, server, r.implementation.name)
	added.Imports = []string{r.handlers.line(), r.implementation.line()}
	if len(places) != 1 {
		return "", nil, nil
	}
	place := places[0]
	if edited, err = place.insert(p.Module, added.Registration, []importSpec{r.handlers, r.implementation}); err != nil {
		return "", nil, err
	}
	rel, err := filepath.Rel(p.Dir, place.file)
	if err != nil {
		return "", nil, err
	}
	added.Registered = filepath.ToSlash(rel)
	return added.Registered, edited, nil
}

// place is a file of package main that registers services on a server.
type place struct {
	file   string
	text   []byte
	set    *token.FileSet
	tree   *ast.File
	after  token.Pos // the end of the last registration
	server string    // the argument it has: srv.RPC()
}

// findPlaces looks through the programs of the project.
func findPlaces(root string) ([]*place, error) {
	var places []*place
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || name == "vendor" || name == "node_modules" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if p := newPlace(file, text); p != nil {
			places = append(places, p)
		}
		return nil
	})
	return places, err
}

var registerName = regexp.MustCompile(`^Register\w+Handler$`)

// newPlace returns nil when the file registers nothing.
func newPlace(file string, text []byte) *place {
	p := &place{file: file, text: text, set: token.NewFileSet()}
	var err error
	if p.tree, err = parser.ParseFile(p.set, file, text, parser.SkipObjectResolution|parser.ParseComments); err != nil || p.tree.Name.Name != "main" {
		return nil
	}
	ast.Inspect(p.tree, func(n ast.Node) bool {
		statement, ok := n.(*ast.ExprStmt)
		if !ok {
			return true
		}
		call, ok := statement.X.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !registerName.MatchString(function.Sel.Name) {
			return true
		}
		server, ok := call.Args[0].(*ast.CallExpr)
		if !ok || len(server.Args) != 0 {
			return true
		}
		if method, ok := server.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "RPC" {
			p.after = statement.End()
			p.server = string(text[p.offset(server.Pos()):p.offset(server.End())])
		}
		return true
	})
	if p.after == token.NoPos {
		return nil
	}
	return p
}

func (p *place) offset(pos token.Pos) int { return p.set.Position(pos).Offset }

// name returns the name that an import has in the file, or one for it that
// means nothing else there.
func (p *place) name(i importSpec) string {
	used := make(map[string]bool)
	for _, spec := range p.tree.Imports {
		have, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := have[strings.LastIndexByte(have, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if have == i.path {
			return name
		}
		used[name] = true
	}
	ast.Inspect(p.tree, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			used[id.Name] = true
		}
		return true
	})
	name := i.name
	for n := 2; used[name]; n++ {
		name = i.name + strconv.Itoa(n)
	}
	return name
}

// insert returns the file with the statement and the imports it needs.
func (p *place) insert(module, statement string, imports []importSpec) ([]byte, error) {
	at := p.offset(p.after)
	// What stands behind the last registration on its line stays there.
	if end := strings.IndexByte(string(p.text[at:]), '\n'); end >= 0 {
		at += end
	}
	out := slices.Concat(p.text[:at], []byte("\n"+statement), p.text[at:])
	where, inBlock := p.importsEnd(module)
	for _, i := range imports {
		if p.imports(i.path) {
			continue
		}
		line := "\nimport " + i.line()
		if inBlock {
			line = "\n" + i.line()
		}
		out = slices.Concat(out[:where], []byte(line), out[where:])
		where += len(line)
	}
	return format.Source(out)
}

func (p *place) imports(path string) bool {
	return slices.ContainsFunc(p.tree.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == strconv.Quote(path) })
}

// importsEnd returns the offset behind the last import of the project's own
// module, or the last at all, and whether that stands in parentheses.
func (p *place) importsEnd(module string) (offset int, inBlock bool) {
	offset = p.offset(p.tree.Name.End())
	own := false
	for _, decl := range p.tree.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.IMPORT {
			continue
		}
		for _, spec := range block.Specs {
			i := spec.(*ast.ImportSpec)
			ours := strings.HasPrefix(i.Path.Value, `"`+module+"/")
			if own && !ours {
				continue
			}
			own, inBlock = ours, block.Lparen.IsValid()
			offset = p.offset(i.End())
			if end := strings.IndexByte(string(p.text[offset:]), '\n'); end >= 0 {
				offset += end
			}
		}
	}
	return offset, inBlock
}
