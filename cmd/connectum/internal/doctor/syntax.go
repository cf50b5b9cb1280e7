package doctor

import (
	"go/ast"
	"go/token"
	"strconv"
	"time"
)

// is reports whether e is name of the package path, such as connectum.Config.
func (s *source) is(e ast.Expr, path string, names ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || s.imports[x.Name] != path {
		return false
	}
	for _, name := range names {
		if sel.Sel.Name == name {
			return true
		}
	}
	return false
}

// literals calls f for each composite literal of a type.
func (s *source) literals(path, name string, f func(*ast.CompositeLit)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && lit.Type != nil && s.is(lit.Type, path, name) {
			f(lit)
		}
		return true
	})
}

// calls calls f for each call of a function.
func (s *source) calls(path, name string, f func(*ast.CallExpr)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && s.is(call.Fun, path, name) {
			f(call)
		}
		return true
	})
}

// settings calls f for each value that the field of that name of a struct type
// is given: in literals of the type, or by assignment to x.Holder.Name or, for
// Config itself, x.Name.
func (s *source) settings(path, typ string, f func(field string, v ast.Expr)) {
	s.literals(path, typ, func(lit *ast.CompositeLit) {
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if key, ok := kv.Key.(*ast.Ident); ok {
					f(key.Name, kv.Value)
				}
			}
		}
	})
	imported := false
	for _, p := range s.imports {
		imported = imported || p == path
	}
	if !imported {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, l := range a.Lhs {
			sel, ok := l.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			holder, nested := sel.X.(*ast.SelectorExpr)
			if nested && holder.Sel.Name == typ || !nested && typ == "Config" {
				f(sel.Sel.Name, a.Rhs[i])
			}
		}
		return true
	})
}

// element returns the value of a field in a literal, or nil.
func element(lit *ast.CompositeLit, field string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == field {
				return kv.Value
			}
		}
	}
	return nil
}

// assigns reports whether the file sets x.Field or x.Field.Another somewhere.
func (s *source) assigns(field string) bool {
	found := false
	ast.Inspect(s.file, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok {
			for _, l := range a.Lhs {
				if sel, ok := l.(*ast.SelectorExpr); ok {
					holder, nested := sel.X.(*ast.SelectorExpr)
					found = found || sel.Sel.Name == field || nested && holder.Sel.Name == field
				}
			}
		}
		return true
	})
	return found
}

// constant works out a number or a duration, as far as it shows.
func (s *source) constant(e ast.Expr) (float64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, err := strconv.ParseFloat(e.Value, 64)
		if err != nil {
			n, err := strconv.ParseInt(e.Value, 0, 64)
			return float64(n), err == nil
		}
		return v, true
	case *ast.ParenExpr:
		return s.constant(e.X)
	case *ast.UnaryExpr:
		v, ok := s.constant(e.X)
		if e.Op == token.SUB {
			v = -v
		}
		return v, ok && (e.Op == token.SUB || e.Op == token.ADD)
	case *ast.BinaryExpr:
		x, okX := s.constant(e.X)
		y, okY := s.constant(e.Y)
		if !okX || !okY {
			return 0, false
		}
		switch e.Op {
		case token.MUL:
			return x * y, true
		case token.ADD:
			return x + y, true
		case token.SUB:
			return x - y, true
		case token.SHL:
			return x * float64(int64(1)<<min(max(int64(y), 0), 62)), true
		}
	case *ast.SelectorExpr:
		units := map[string]time.Duration{
			"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
			"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
		}
		if unit, ok := units[e.Sel.Name]; ok && s.is(e, "time", e.Sel.Name) {
			return float64(unit), true
		}
	case *ast.CallExpr: // time.Duration(5)
		if s.is(e.Fun, "time", "Duration") && len(e.Args) == 1 {
			return s.constant(e.Args[0])
		}
	}
	return 0, false
}

// text returns the value of a string literal.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	v, err := strconv.Unquote(lit.Value)
	return v, err == nil
}

// isTrue reports whether e is the word true.
func isTrue(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "true"
}

// stop is what the code says of the shutdown.
type stop struct {
	drainDelay bool
	timeout    time.Duration
}

// shutdown reads it: whatever is set in code wins over the environment.
func (p *Project) shutdown() stop {
	out := stop{timeout: 25 * time.Second}
	for _, s := range p.sources {
		s.settings(framework, "Shutdown", func(field string, v ast.Expr) {
			d, known := s.constant(v)
			switch {
			case field == "DrainDelay":
				out.drainDelay = out.drainDelay || !known || d > 0
			case field == "Timeout" && known && d > 0:
				out.timeout = time.Duration(d)
			}
		})
	}
	return out
}

// readsVariable reports whether the program reads an environment variable by
// its own.
func (p *Project) readsVariable(name string) bool {
	found := false
	for _, s := range p.sources {
		for _, f := range []string{"Getenv", "LookupEnv"} {
			s.calls("os", f, func(call *ast.CallExpr) {
				if len(call.Args) == 1 {
					if v, ok := text(call.Args[0]); ok && v == name {
						found = true
					}
				}
			})
		}
	}
	return found
}
