package fake

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// list fills a list field; ok is false when an element or the length does
// not suit the rules.
func (m *maker) list(s slot) (ok bool) {
	rules := s.rules.GetRepeated()
	most := noLimit
	if rules.HasMaxItems() {
		most = int(min(rules.GetMaxItems(), noLimit))
	}
	n, least := m.count(s, int(min(rules.GetMinItems(), noLimit)), most)
	list := s.parent.NewField(s.field).List()
	seen := make(map[any]bool)
	ok = true
	for range n {
		v, found := m.fresh(s.of(item), func(v protoreflect.Value) bool {
			return !rules.GetUnique() || remember(seen, v)
		})
		if !found {
			// As many as there are may do.
			ok = list.Len() >= least
			break
		}
		list.Append(v)
	}
	s.parent.Set(s.field, protoreflect.ValueOfList(list))
	return ok
}

// table fills a map field; ok as for list.
func (m *maker) table(s slot) (ok bool) {
	rules := s.rules.GetMap()
	most := noLimit
	if rules.HasMaxPairs() {
		most = int(min(rules.GetMaxPairs(), noLimit))
	}
	n, least := m.count(s, int(min(rules.GetMinPairs(), noLimit)), most)
	table := s.parent.NewField(s.field).Map()
	for range n {
		key, found := m.fresh(s.of(mapKey), func(v protoreflect.Value) bool { return !table.Has(v.MapKey()) })
		if !found {
			break
		}
		v, found := m.value(s.of(mapValue), 0)
		if !found {
			break
		}
		table.Set(key.MapKey(), v)
	}
	s.parent.Set(s.field, protoreflect.ValueOfMap(table))
	return table.Len() >= least
}

// count draws how many elements to make within the rules, and how many there
// must be.
func (m *maker) count(s slot, least, most int) (n, needed int) {
	if s.must {
		least = max(least, 1)
	}
	n = m.between(m.items[0], m.items[1])
	if below(s.field) != nil && m.tooDeep(s.field, s.depth) {
		n = 0
	}
	n = min(max(n, least), max(most, least))
	return n, least
}

// fresh makes a value that also suits the given condition.
func (m *maker) fresh(s slot, suits func(protoreflect.Value) bool) (protoreflect.Value, bool) {
	for try := range valueTries {
		v, ok := m.value(s, try)
		if !ok {
			return v, false
		}
		if suits(v) {
			return v, true
		}
	}
	return protoreflect.Value{}, false
}

// remember tells whether a scalar is new to the set, and adds it.
func remember(seen map[any]bool, v protoreflect.Value) bool {
	key := v.Interface()
	switch k := key.(type) {
	case []byte:
		key = string(k)
	case protoreflect.Message:
		return true
	}
	if seen[key] {
		return false
	}
	seen[key] = true
	return true
}
