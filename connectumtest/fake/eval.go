package fake

import (
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// eval gives the value of an expression as far as it is understood. It serves
// the search only: whether a rule holds is for the validator to say.
func (s *solver) eval(e ast.Expr) (any, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral().Value(), true
	case ast.ListKind:
		var out []any
		for _, element := range e.AsList().Elements() {
			v, ok := s.eval(element)
			if !ok {
				return nil, false
			}
			out = append(out, v)
		}
		return out, true
	case ast.CallKind:
		if p, ok := s.where(e, false); ok {
			return p.native(), true
		}
		return s.call(e.AsCall())
	case ast.IdentKind:
		if e.AsIdent() == "now" {
			return at(time.Now()), true
		}
		if v, ok := s.vars[e.AsIdent()]; ok {
			if p, ok := v.(place); ok {
				return p.native(), true
			}
			return v, true
		}
	case ast.SelectKind:
		if p, ok := s.where(e, false); ok {
			return p.native(), true
		}
	}
	return nil, false
}

// where finds the place an expression names, such as this.items[0].price.
func (s *solver) where(e ast.Expr, create bool) (place, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		p, ok := s.vars[e.AsIdent()].(place)
		return p, ok
	case ast.SelectKind:
		p, ok := s.where(e.AsSelect().Operand(), create)
		if !ok {
			return place{}, false
		}
		if p.plural() && p.field.IsMap() {
			return p.entry(e.AsSelect().FieldName())
		}
		return p.inner(e.AsSelect().FieldName(), create)
	case ast.CallKind:
		if c := e.AsCall(); c.FunctionName() == operators.Index {
			p, ok := s.where(c.Args()[0], create)
			at, known := s.eval(c.Args()[1])
			if !ok || !known || !p.plural() {
				return place{}, false
			}
			if p.field.IsMap() {
				return p.entry(at)
			}
			if i, ok := at.(int64); ok && i >= 0 && int(i) < p.raw().List().Len() {
				return place{msg: p.msg, field: p.field, role: item, index: int(i)}, true
			}
		}
	}
	return place{}, false
}

// entry gives the place of a map's value, if the map has the key.
func (p place) entry(key any) (place, bool) {
	k, ok := fit(p.field.MapKey().Kind(), key)
	if !ok || !p.raw().Map().Has(k.MapKey()) {
		return place{}, false
	}
	return place{msg: p.msg, field: p.field, role: mapValue, key: k.MapKey()}, true
}

func (s *solver) call(c ast.CallExpr) (any, bool) {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		return s.logic(c.FunctionName() == operators.LogicalOr, args)
	case operators.LogicalNot:
		v, ok := s.truth(args[0])
		return !v, ok
	case operators.Conditional:
		v, ok := s.truth(args[0])
		if !ok {
			return nil, false
		}
		if v {
			return s.eval(args[1])
		}
		return s.eval(args[2])
	case operators.Has:
		if args[0].Kind() != ast.SelectKind {
			return nil, false
		}
		return s.has(args[0].AsSelect())
	case operators.All, operators.Exists, operators.ExistsOne:
		if c.IsMemberFunction() {
			return s.quantified(c)
		}
	}
	values, ok := s.operands(c)
	if !ok {
		return nil, false
	}
	switch name := c.FunctionName(); {
	case len(values) == 1:
		return unary(name, values[0])
	case len(values) == 2:
		return binary(name, values[0], values[1])
	default:
		return nil, false
	}
}

// operands evaluates the target, if any, and the arguments.
func (s *solver) operands(c ast.CallExpr) ([]any, bool) {
	exprs := c.Args()
	if c.IsMemberFunction() {
		exprs = append([]ast.Expr{c.Target()}, exprs...)
	}
	var values []any
	for _, e := range exprs {
		v, ok := s.eval(e)
		if !ok {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// truth evaluates a condition. A rule may also give a text: empty is true
// (validate.proto, Rule.expression).
func (s *solver) truth(e ast.Expr) (holds, known bool) {
	v, ok := s.eval(e)
	if !ok {
		return false, false
	}
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		return v == "", true
	default:
		return false, false
	}
}

func (s *solver) logic(or bool, args []ast.Expr) (any, bool) {
	known := true
	for _, arg := range args {
		v, ok := s.truth(arg)
		if ok && v == or {
			return or, true
		}
		known = known && ok
	}
	return !or, known
}

func (s *solver) has(e ast.SelectExpr) (any, bool) {
	p, ok := s.where(e.Operand(), false)
	if !ok {
		return nil, false
	}
	if p.plural() {
		_, found := p.entry(e.FieldName())
		return found, p.field.IsMap()
	}
	in, ok := p.inner(e.FieldName(), false)
	if !ok {
		return nil, false
	}
	return in.msg.Has(in.field), true
}

func (s *solver) quantified(c ast.CallExpr) (any, bool) {
	if len(c.Args()) != 2 || c.Args()[0].Kind() != ast.IdentKind {
		return nil, false
	}
	p, ok := s.where(c.Target(), false)
	if !ok {
		return nil, false
	}
	count, total := 0, 0
	known := true
	s.bind(c.Args()[0].AsIdent(), p, func() {
		v, ok := s.truth(c.Args()[1])
		known = known && ok
		total++
		if v {
			count++
		}
	})
	switch c.FunctionName() {
	case operators.All:
		return count == total, known
	case operators.Exists:
		return count > 0, known
	default:
		return count == 1, known
	}
}

// bind calls f with a variable set to each element of a list, or key of a
// map, in turn.
func (s *solver) bind(name string, p place, f func()) {
	before, had := s.vars[name]
	for _, element := range p.elements() {
		s.vars[name] = element
		if p.field.IsMap() {
			s.vars[name] = simple(p.field.MapKey().Kind(), element.key.Value())
		}
		f()
	}
	delete(s.vars, name)
	if had {
		s.vars[name] = before
	}
}
