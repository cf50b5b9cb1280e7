package fake

import (
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/operators"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// assign sets a place, unless it is kept.
func (s *solver) assign(p place, v any) bool { return !s.kept(p) && p.assign(v) }

// beside draws a value that stands in relation op to v. Distances vary: the
// smallest may break another rule where a larger one does not.
func (s *solver) beside(op string, v any) (any, bool) {
	sign := 0
	switch op {
	case operators.Equals:
		return v, true
	case operators.NotEquals:
		sign = 1 - 2*s.IntN(2)
	case operators.Less:
		sign = -1
	case operators.Greater:
		sign = 1
	case operators.LessEquals:
		sign = -s.IntN(2)
	case operators.GreaterEquals:
		sign = s.IntN(2)
	}
	if sign == 0 {
		return v, true
	}
	step := int64(sign) * pick(s.draw, []int64{1, 1, 2, 10, 1 + s.Int64N(100)})
	switch x := v.(type) {
	case bool:
		return !x, true
	case int64, uint64:
		n, _ := integral(x)
		return likeWhole(x, new(big.Int).Add(n, big.NewInt(step)))
	case float64:
		if s.chance(0.2) {
			return math.Nextafter(x, math.Inf(sign)), true
		}
		return x + float64(step), true
	case moment:
		unit := pick(s.draw, []int64{1, 1e9, 60e9, 3600e9})
		return moment{new(big.Int).Add(x.nanos, big.NewInt(step*unit)), x.span}, true
	case string:
		if sign < 0 {
			return cut(x, s.IntN(max(utf8.RuneCountInString(x), 1))), x != ""
		}
		return x + s.letters(1, lower), true
	case []byte:
		return append(append([]byte(nil), x...), byte(s.IntN(256))), sign > 0
	}
	return nil, false
}

// difference is v - y, for texts v without what y ends it with.
func difference(v, y any) (any, bool) {
	if text, ok := v.(string); ok {
		end, ok := y.(string)
		if !ok {
			return nil, false
		}
		return strings.CutSuffix(text, end)
	}
	return arithmetic(operators.Subtract, v, y)
}

// remainder is v - x, for texts v without what x begins it with.
func remainder(v, x any) (any, bool) {
	if text, ok := v.(string); ok {
		begin, ok := x.(string)
		if !ok {
			return nil, false
		}
		return strings.CutPrefix(text, begin)
	}
	return arithmetic(operators.Subtract, v, x)
}

// slotOf is the slot of the field at a place. Messages made for it are as
// small as their rules allow.
func (s *solver) slotOf(p place) slot {
	in := newSlot(p.msg, p.field, s.depth, false)
	in.must = true
	return in
}

// redraw makes the value at a place anew.
func (s *solver) redraw(p place) {
	if p.field == nil || s.kept(p) {
		return
	}
	in := s.slotOf(p)
	if p.role == whole {
		p.msg.Clear(p.field)
		s.fill(in)
		return
	}
	if v, ok := s.value(in.of(p.role), 0); ok {
		p.store(v)
	}
}

// resize gives a text, bytes, list or map n characters, bytes or elements.
func (s *solver) resize(p place, n int) bool {
	if s.kept(p) {
		return false
	}
	if !p.plural() {
		switch x := p.native().(type) {
		case string:
			return p.assign(cut(x, n) + s.letters(n-utf8.RuneCountInString(x), lower))
		case []byte:
			return p.assign(append(append([]byte(nil), x...), s.bytes(n)...)[:n])
		}
		return false
	}
	in := s.slotOf(p)
	if p.field.IsMap() {
		table := p.msg.Mutable(p.field).Map()
		for _, key := range sorted(table)[min(n, table.Len()):] {
			table.Clear(key)
		}
		for try := 0; table.Len() < n && try < n+valueTries; try++ {
			key, _ := s.value(in.of(mapKey), try)
			if !table.Has(key.MapKey()) {
				v, _ := s.value(in.of(mapValue), 0)
				table.Set(key.MapKey(), v)
			}
		}
		return table.Len() == n
	}
	list := p.msg.Mutable(p.field).List()
	list.Truncate(min(n, list.Len()))
	for list.Len() < n {
		v, _ := s.value(in.of(item), 0)
		list.Append(v)
	}
	return true
}

// keptKey names a field of one message in memory.
type keptKey struct {
	msg   protoreflect.ProtoMessage
	field protoreflect.FieldNumber
}

// kept tells whether the value at a place came with the message.
func (m *maker) kept(p place) bool {
	if len(m.protected) == 0 || p.field == nil {
		return false
	}
	return m.protected[keptKey{p.msg.Interface(), p.field.Number()}]
}

// protect notes which fields of msg are set in the original.
func (m *maker) protect(original, msg protoreflect.Message) {
	original.Range(func(field protoreflect.FieldDescriptor, was protoreflect.Value) bool {
		if !msg.Has(field) {
			return true
		}
		is := msg.Get(field)
		if field.IsList() && field.Message() != nil {
			for i := range min(was.List().Len(), is.List().Len()) {
				m.protect(was.List().Get(i).Message(), is.List().Get(i).Message())
			}
		}
		if field.IsMap() && field.MapValue().Message() != nil {
			for _, key := range sorted(was.Map()) {
				if is.Map().Has(key) {
					m.protect(was.Map().Get(key).Message(), is.Map().Get(key).Message())
				}
			}
		}
		if field.IsList() || field.IsMap() || below(field) == nil {
			m.protected[keptKey{msg.Interface(), field.Number()}] = true
			return true
		}
		m.protect(was.Message(), is.Message())
		return true
	})
}
