package doctor

import (
	"go/ast"
	"strings"
)

// clientDeadline finds calls of generated clients whose context, as far as it
// shows in one function, comes from context.Background or TODO and has been
// given no deadline on the way.
func clientDeadline(p *Project) []hit {
	for _, s := range p.sources {
		bounded := false
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "AttemptTimeout" {
				bounded = true
			}
			return true
		})
		if bounded {
			return nil // the chain of a client bounds every attempt
		}
	}
	var out []hit
	for _, s := range p.sources {
		clients := s.clients()
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				for _, call := range s.boundless(f.Body, clients) {
					sel := call.Fun.(*ast.SelectorExpr)
					out = append(out, hit{where: p.at(call.Pos()), problem: sel.Sel.Name + " is called without a deadline"})
				}
			}
		}
	}
	return out
}

// clients returns the names that hold generated clients: variables and fields
// that are given what a New...Client of a Connect package returns.
func (s *source) clients() map[string]bool {
	out := map[string]bool{}
	note := func(name ast.Expr, v ast.Expr) {
		call, ok := v.(*ast.CallExpr)
		if !ok {
			return
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !strings.HasPrefix(fun.Sel.Name, "New") || !strings.HasSuffix(fun.Sel.Name, "Client") {
			return
		}
		pkg, ok := fun.X.(*ast.Ident)
		if !ok || !strings.HasSuffix(s.imports[pkg.Name], "connect") {
			return
		}
		switch n := name.(type) {
		case *ast.Ident:
			out[n.Name] = true
		case *ast.SelectorExpr:
			out[n.Sel.Name] = true
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					note(n.Lhs[i], n.Rhs[i])
				}
			}
		case *ast.ValueSpec:
			if len(n.Names) == len(n.Values) {
				for i := range n.Names {
					note(n.Names[i], n.Values[i])
				}
			}
		case *ast.KeyValueExpr:
			note(n.Key, n.Value)
		}
		return true
	})
	return out
}

// boundless returns the calls of clients in body whose context has no deadline.
func (s *source) boundless(body *ast.BlockStmt, clients map[string]bool) []*ast.CallExpr {
	endless := map[string]bool{} // names of contexts
	var isEndless func(e ast.Expr) bool
	isEndless = func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return endless[e.Name]
		case *ast.CallExpr:
			if s.is(e.Fun, "context", "Background", "TODO") {
				return true
			}
			if s.is(e.Fun, "context", "WithCancel", "WithCancelCause", "WithValue", "WithoutCancel") || s.is(e.Fun, "connectrpc.com/connect/v2", "NewClientContext") {
				return len(e.Args) > 0 && isEndless(e.Args[0])
			}
		}
		return false
	}
	var out []*ast.CallExpr
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if name, ok := n.Lhs[0].(*ast.Ident); ok && len(n.Rhs) == 1 {
				endless[name.Name] = isEndless(n.Rhs[0])
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) == 0 || !isEndless(n.Args[0]) {
				return true
			}
			name := ""
			switch x := sel.X.(type) {
			case *ast.Ident:
				name = x.Name
			case *ast.SelectorExpr:
				name = x.Sel.Name
			}
			if clients[name] {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}
