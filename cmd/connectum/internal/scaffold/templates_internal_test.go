package scaffold

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A project may be called as anything in its programs and tests is: then its
// package gets another name.
func TestNoPackageHasTheNameOfSomethingInItsProgram(t *testing.T) {
	t.Parallel()
	source, err := findFramework("", builtFrom())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, n := range []New{
		{Template: "hello"}, {Template: "service"}, {Template: "worker"},
		{Template: "service", TLS: true, Telemetry: true}, {Template: "worker", TLS: true, Telemetry: true},
	} {
		n.Name, n.Module = "placeholder", "example.com/placeholder"
		files, err := n.files(source)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if filepath.Ext(name) != ".go" {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), `"example.com/placeholder/internal/`) {
				continue // the package itself
			}
			seen++
			for _, id := range declared(f) {
				ours := strings.HasPrefix(id, "placeholder") || strings.HasPrefix(id, "greeter") // of this project, not of each
				if !ours && packageName(id) == id {
					t.Errorf("%s: a project called %s has its package hidden in %s", n.Template, id, name)
				}
			}
		}
	}
	if seen == 0 {
		t.Fatal("no file imports the package; has it moved?")
	}
}

// declared returns the names in lower case that a file declares or imports.
func declared(f *ast.File) []string {
	var out []string
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok && id.Name != "_" && !ast.IsExported(id.Name) {
			out = append(out, id.Name)
		}
	}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := filepath.Base(path)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name != "v2" {
			add(ast.NewIdent(name))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			add(n.Key)
			add(n.Value)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.FuncDecl:
			if n.Recv == nil {
				add(n.Name)
			}
		case *ast.TypeSpec:
			add(n.Name)
		}
		return true
	})
	return out
}
