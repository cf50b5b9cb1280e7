package fake

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"google.golang.org/protobuf/reflect/protoreflect"
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

func unary(name string, v any) (any, bool) {
	switch name {
	case operators.Negate:
		switch x := v.(type) {
		case int64:
			return -x, true
		case float64:
			return -x, true
		}
	case "size":
		return size(v)
	case "duration":
		if text, ok := v.(string); ok {
			d, err := time.ParseDuration(text)
			return moment{big.NewInt(int64(d)), true}, err == nil
		}
	case "timestamp":
		if text, ok := v.(string); ok {
			t, err := time.Parse(time.RFC3339Nano, text)
			return at(t), err == nil
		}
	case "int", "uint", "double":
		kind := map[string]protoreflect.Kind{
			"int": protoreflect.Int64Kind, "uint": protoreflect.Uint64Kind, "double": protoreflect.DoubleKind,
		}[name]
		if x, ok := v.(float64); ok && kind != protoreflect.DoubleKind {
			v = int64(x)
		}
		made, ok := fit(kind, v)
		if !ok {
			return nil, false
		}
		return made.Interface(), true
	case "string":
		switch x := v.(type) {
		case string:
			return x, true
		case int64:
			return strconv.FormatInt(x, 10), true
		case uint64:
			return strconv.FormatUint(x, 10), true
		}
	case "lowerAscii":
		if x, ok := v.(string); ok {
			return strings.ToLower(x), true
		}
	case "upperAscii":
		if x, ok := v.(string); ok {
			return strings.ToUpper(x), true
		}
	}
	return nil, false
}

func size(v any) (any, bool) {
	switch x := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(x)), true
	case []byte:
		return int64(len(x)), true
	case []any:
		return int64(len(x)), true
	case place:
		if x.plural() {
			return int64(len(x.elements())), true
		}
	}
	return nil, false
}

func binary(name string, a, b any) (any, bool) {
	switch name {
	case operators.Equals, operators.NotEquals:
		c, ok := compare(a, b)
		return (c == 0) == (name == operators.Equals), ok
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		c, ok := compare(a, b)
		return map[string]bool{
			operators.Less: c < 0, operators.LessEquals: c <= 0,
			operators.Greater: c > 0, operators.GreaterEquals: c >= 0,
		}[name], ok
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		return arithmetic(name, a, b)
	case operators.In:
		return contains(b, a)
	case "startsWith", "endsWith", "contains", "matches":
		x, okA := a.(string)
		y, okB := b.(string)
		if !okA || !okB {
			return nil, false
		}
		switch name {
		case "startsWith":
			return strings.HasPrefix(x, y), true
		case "endsWith":
			return strings.HasSuffix(x, y), true
		case "contains":
			return strings.Contains(x, y), true
		default:
			p, err := newPattern(y)
			if err != nil {
				return nil, false
			}
			return p.re.MatchString(x), true
		}
	}
	return nil, false
}

// contains tells whether a list holds a value, or a map a key.
func contains(in, v any) (any, bool) {
	switch list := in.(type) {
	case []any:
		for _, other := range list {
			if c, ok := compare(v, other); ok && c == 0 {
				return true, true
			}
		}
		return false, true
	case place:
		if !list.plural() {
			return nil, false
		}
		if list.field.IsMap() {
			_, found := list.entry(v)
			return found, true
		}
		for _, element := range list.elements() {
			if c, ok := compare(v, element.native()); ok && c == 0 {
				return true, true
			}
		}
		return false, true
	}
	return nil, false
}

// compare orders two values of the same type; numbers compare across types,
// as in CEL.
func compare(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return cmp.Compare(x, y), ok
	case []byte:
		y, ok := b.([]byte)
		return bytes.Compare(x, y), ok
	case bool:
		y, ok := b.(bool)
		if x == y {
			return 0, ok
		}
		return 1, ok
	case moment:
		y, ok := b.(moment)
		if !ok || x.span != y.span {
			return 0, false
		}
		return x.nanos.Cmp(y.nanos), true
	}
	x, okA := rational(a)
	y, okB := rational(b)
	if !okA || !okB {
		return 0, false
	}
	return x.Cmp(y), true
}

func rational(v any) (*big.Rat, bool) {
	switch x := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(x), true
	case uint64:
		return new(big.Rat).SetUint64(x), true
	case float64:
		r := new(big.Rat).SetFloat64(x)
		return r, r != nil
	}
	return nil, false
}

// arithmetic computes on numbers, texts and moments. Whole numbers are
// computed with as many digits as needed and must fit again at the end.
func arithmetic(name string, a, b any) (any, bool) {
	if x, ok := a.(moment); ok {
		y, ok := b.(moment)
		if !ok {
			return nil, false
		}
		if name == operators.Add {
			return moment{new(big.Int).Add(x.nanos, y.nanos), x.span && y.span}, true
		}
		return moment{new(big.Int).Sub(x.nanos, y.nanos), x.span == y.span}, name == operators.Subtract
	}
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return x + y, ok && name == operators.Add
	}
	if x, ok := a.(float64); ok {
		y, ok := b.(float64)
		if !ok {
			return nil, false
		}
		switch name {
		case operators.Add:
			return x + y, true
		case operators.Subtract:
			return x - y, true
		case operators.Multiply:
			return x * y, true
		case operators.Divide:
			return x / y, true
		}
		return nil, false
	}
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return nil, false
	}
	x, okA := integral(a)
	y, okB := integral(b)
	if !okA || !okB {
		return nil, false
	}
	n := new(big.Int)
	switch name {
	case operators.Add:
		n.Add(x, y)
	case operators.Subtract:
		n.Sub(x, y)
	case operators.Multiply:
		n.Mul(x, y)
	default:
		if y.Sign() == 0 {
			return nil, false
		}
		if name == operators.Divide {
			n.Quo(x, y)
		} else {
			n.Rem(x, y)
		}
	}
	return likeWhole(a, n)
}

func integral(v any) (*big.Int, bool) {
	switch x := v.(type) {
	case int64:
		return big.NewInt(x), true
	case uint64:
		return new(big.Int).SetUint64(x), true
	}
	return nil, false
}

// likeWhole gives n the type of like.
func likeWhole(like any, n *big.Int) (any, bool) {
	if _, ok := like.(uint64); ok {
		return n.Uint64(), n.IsUint64()
	}
	return n.Int64(), n.IsInt64()
}
