package fake

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// set makes an expression have a value, if it is a place or made of one in a
// way that can be undone.
func (s *solver) set(e ast.Expr, v any) bool {
	if p, ok := s.where(e, true); ok {
		return s.assign(p, v)
	}
	if e.Kind() != ast.CallKind {
		return false
	}
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		return s.undo(c.FunctionName(), args[0], args[1], v)
	case operators.Negate:
		if n, ok := unary(operators.Negate, v); ok {
			return s.set(args[0], n)
		}
	case operators.Conditional:
		if holds, known := s.truth(args[0]); known && holds {
			return s.set(args[1], v)
		}
		return s.set(args[2], v)
	case "size":
		target := c.Target()
		if !c.IsMemberFunction() {
			target = args[0]
		}
		n, ok := fit(protoreflect.Int64Kind, v)
		p, found := s.where(target, true)
		return ok && found && n.Int() >= 0 && n.Int() <= longest && s.resize(p, int(n.Int()))
	case "int", "uint", "double", "string":
		if len(args) == 1 {
			return s.set(args[0], v) // assign converts
		}
	}
	return false
}

// undo sets one operand of a sum, difference, product, quotient or remainder
// so that the whole has the value v.
func (s *solver) undo(name string, a, b ast.Expr, v any) bool {
	x, okA := s.eval(a)
	y, okB := s.eval(b)
	left := func() bool {
		if !okB {
			return false
		}
		var w any
		ok := false
		switch name {
		case operators.Add:
			w, ok = difference(v, y)
		case operators.Subtract:
			w, ok = arithmetic(operators.Add, v, y)
		case operators.Multiply:
			w, ok = arithmetic(operators.Divide, v, y)
		case operators.Divide:
			w, ok = arithmetic(operators.Multiply, v, y)
		case operators.Modulo: // a - a%b + v
			rest, known := arithmetic(operators.Modulo, x, y)
			if w, ok = arithmetic(operators.Subtract, x, rest); ok && known && okA {
				w, ok = arithmetic(operators.Add, w, v)
			}
		}
		return ok && s.set(a, w)
	}
	right := func() bool {
		if !okA {
			return false
		}
		var w any
		ok := false
		switch name {
		case operators.Add:
			w, ok = remainder(v, x)
		case operators.Subtract:
			w, ok = arithmetic(operators.Subtract, x, v)
		case operators.Multiply:
			w, ok = arithmetic(operators.Divide, v, x)
		}
		return ok && s.set(b, w)
	}
	if s.chance(0.5) {
		return left() || right()
	}
	return right() || left()
}
