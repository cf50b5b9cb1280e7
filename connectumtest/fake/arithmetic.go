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

	"cel.dev/cel-go/common/operators"
	"google.golang.org/protobuf/reflect/protoreflect"
)

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
