package fake

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// solver changes a message so that an expression comes true, or false: it
// walks the expression from the top and, where it does not hold, sets what is
// compared to what it is compared with. Choices (which side, which operand of
// an or) are drawn, so that another round tries another way.
type solver struct {
	*maker
	vars map[string]any // places and constants by name; this is one of them
}

// solve makes a condition hold, or not, as far as it is understood.
func (s *solver) solve(e ast.Expr, want bool) {
	if holds, known := s.truth(e); known && holds == want {
		return
	}
	if e.Kind() != ast.CallKind {
		if p, ok := s.where(e, true); ok {
			s.assign(p, want)
		}
		return
	}
	c := e.AsCall()
	args := c.Args()
	switch name := c.FunctionName(); name {
	case operators.LogicalAnd, operators.LogicalOr:
		if (name == operators.LogicalAnd) == want {
			s.solve(args[0], want)
			s.solve(args[1], want)
		} else {
			s.solve(args[s.IntN(2)], want)
		}
	case operators.LogicalNot:
		s.solve(args[0], !want)
	case operators.Conditional:
		s.conditional(args, want)
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals,
		operators.Greater, operators.GreaterEquals:
		s.relate(args[0], relation(name, want), args[1])
	case operators.In:
		s.member(args[0], args[1], want)
	case operators.Has:
		s.presence(args[0], want)
	case operators.All, operators.Exists, operators.ExistsOne:
		if c.IsMemberFunction() && len(args) == 2 && args[0].Kind() == ast.IdentKind {
			s.quantify(name, c.Target(), args[0].AsIdent(), args[1], want)
		}
	default:
		s.predicate(c, want)
	}
}

// conditional goes for a branch that can give what is wanted.
func (s *solver) conditional(args []ast.Expr, want bool) {
	var ways []int
	for i := 1; i <= 2; i++ {
		if holds, known := s.truth(args[i]); args[i].Kind() != ast.LiteralKind || known && holds == want {
			ways = append(ways, i)
		}
	}
	if len(ways) == 0 {
		return
	}
	way := pick(s.draw, ways)
	s.solve(args[0], way == 1)
	s.solve(args[way], want)
}

// relation gives the operator that must hold.
func relation(name string, want bool) string {
	if want {
		return name
	}
	return map[string]string{
		operators.Equals: operators.NotEquals, operators.NotEquals: operators.Equals,
		operators.Less: operators.GreaterEquals, operators.GreaterEquals: operators.Less,
		operators.Greater: operators.LessEquals, operators.LessEquals: operators.Greater,
	}[name]
}

// mirrored gives the operator with its sides exchanged.
func mirrored(name string) string {
	switch name {
	case operators.Less:
		return operators.Greater
	case operators.LessEquals:
		return operators.GreaterEquals
	case operators.Greater:
		return operators.Less
	case operators.GreaterEquals:
		return operators.LessEquals
	default:
		return name
	}
}

// relate makes a comparison hold by changing one side of it, drawn, or the
// other where that one cannot be changed.
func (s *solver) relate(a ast.Expr, op string, b ast.Expr) {
	if s.chance(0.5) {
		a, b, op = b, a, mirrored(op)
	}
	if !s.meet(a, op, b) {
		s.meet(b, mirrored(op), a)
	}
}

// meet sets what expression a is made of so that a stands in relation op to
// the present value of b.
func (s *solver) meet(a ast.Expr, op string, b ast.Expr) bool {
	v, ok := s.eval(b)
	if !ok {
		return false
	}
	v, ok = s.beside(op, v)
	return ok && s.set(a, v)
}

// member makes a value one of a list or a key of a map, or not.
func (s *solver) member(v, in ast.Expr, want bool) {
	if !want {
		if p, ok := s.where(v, true); ok {
			s.redraw(p)
		}
		return
	}
	if list, ok := s.eval(in); ok {
		var options []any
		switch list := list.(type) {
		case []any:
			options = list
		case place:
			for _, element := range list.elements() {
				options = append(options, element.native())
			}
		}
		if len(options) > 0 && s.set(v, pick(s.draw, options)) {
			return
		}
	}
	value, ok := s.eval(v)
	p, found := s.where(in, true)
	if !ok || !found || !p.plural() {
		return
	}
	if p.field.IsMap() {
		if key, ok := fit(p.field.MapKey().Kind(), value); ok && !s.kept(p) {
			made, _ := s.value(s.slotOf(p).of(mapValue), 0)
			p.msg.Mutable(p.field).Map().Set(key.MapKey(), made)
		}
		return
	}
	if elements := p.elements(); len(elements) > 0 {
		s.assign(pick(s.draw, elements), value)
	} else if s.resize(p, 1) {
		s.assign(p.elements()[0], value)
	}
}

// presence sets or clears the field of has(this.field).
func (s *solver) presence(e ast.Expr, want bool) {
	if e.Kind() != ast.SelectKind {
		return
	}
	p, ok := s.where(e, want)
	if !ok || s.kept(p) {
		return
	}
	if want {
		s.redraw(p)
	} else if p.field != nil && p.role == whole {
		p.msg.Clear(p.field)
	}
}

// quantify makes a condition hold for all, one or none of the elements.
func (s *solver) quantify(name string, target ast.Expr, variable string, condition ast.Expr, want bool) {
	p, ok := s.where(target, true)
	if !ok || !p.plural() {
		return
	}
	n := len(p.elements())
	if n == 0 && (name != operators.All) == want {
		if !s.resize(p, 1) {
			return
		}
		n = 1
	}
	chosen := -1 // the one element to be unlike the others
	switch {
	case name == operators.All && !want, name == operators.Exists && want, name == operators.ExistsOne && want:
		chosen = s.IntN(max(n, 1))
	}
	i := 0
	s.bind(variable, p, func() {
		switch {
		case chosen < 0:
			s.solve(condition, name == operators.All)
		case i == chosen:
			s.solve(condition, name != operators.All)
		case name == operators.ExistsOne:
			s.solve(condition, false)
		}
		i++
	})
}

// predicate makes a text begin, end, contain, match or have a form.
func (s *solver) predicate(c ast.CallExpr, want bool) {
	if len(c.Args()) == 0 && !c.IsMemberFunction() {
		return
	}
	target := c.Target()
	args := c.Args()
	if !c.IsMemberFunction() {
		target, args = args[0], args[1:]
	}
	p, ok := s.where(target, true)
	if !ok {
		return
	}
	if !want || c.FunctionName() == "unique" {
		s.redraw(p)
		return
	}
	if text, ok := s.formed(p, c.FunctionName(), args); ok {
		s.assign(p, text)
	}
}

// formed makes a text that a predicate of CEL, or of protovalidate's library
// for it, holds for.
func (s *solver) formed(p place, name string, args []ast.Expr) (any, bool) {
	var arg any
	if len(args) > 0 {
		v, ok := s.eval(args[0])
		if !ok {
			return nil, false
		}
		arg = v
	}
	text, _ := arg.(string)
	old, _ := p.native().(string)
	switch name {
	case "startsWith":
		return overlap(text, old, noLimit), true
	case "endsWith":
		return overlap(old, text, noLimit), true
	case "contains":
		i := s.IntN(len([]rune(old)) + 1)
		return string([]rune(old)[:i]) + text + string([]rune(old)[i:]), true
	case "matches":
		return s.matching(text, limits{most: noLimit, mostBytes: noLimit}, s.IntN(8)), true
	}
	form, ok := map[string]protoreflect.Name{
		"isEmail": "email", "isHostname": "hostname", "isUri": "uri", "isUriRef": "uri_ref",
		"isIp": "ip", "isIpPrefix": "ip_prefix", "isHostAndPort": "host_and_port",
	}[name]
	if !ok {
		return nil, false
	}
	if v, ok := arg.(int64); ok && (v == 4 || v == 6) {
		form = map[protoreflect.Name][2]protoreflect.Name{
			"ip": {"ipv4", "ipv6"}, "ip_prefix": {"ipv4_prefix", "ipv6_prefix"},
		}[form][(v-4)/2]
	}
	format, ok := formats[form]
	if !ok {
		return nil, false
	}
	return format(s.draw, 0), true
}
