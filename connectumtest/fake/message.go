package fake

import (
	"maps"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// nestedBudget bounds how many optional nested messages one fill makes: wide
// recursive types grow with the power of the depth.
const nestedBudget = 200

// maker makes one message.
type maker struct {
	draw
	*Faker
	original protoreflect.Message // what WithKept keeps; nil without it
	nested   int                  // messages made so far
	packing  bool                 // inside of a google.protobuf.Any

	protected map[keptKey]bool // what of the message being repaired is kept
	stuck     map[slotID]bool  // for what value found nothing
}

// message fills every field of msg that is to be filled. What is set already
// is kept.
func (m *maker) message(msg protoreflect.Message, depth int, free bool) {
	m.nested++
	desc := msg.Descriptor()
	if isLeaf(desc) { // a well-known type on its own
		if isEmpty(msg) {
			m.leaf(slot{depth: depth}, msg, 0)
		}
		return
	}
	if m.original != nil {
		for i := range desc.Fields().Len() {
			if field := desc.Fields().Get(i); msg.Has(field) {
				m.inside(msg, field, depth, free)
			}
		}
	}
	p := m.plan(msg, depth, free)
	for i := range desc.Fields().Len() {
		field := desc.Fields().Get(i)
		if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
			if oneof.Fields().Get(0) == field && msg.WhichOneof(oneof) == nil {
				m.oneof(msg, oneof, depth, free)
			}
			continue
		}
		if msg.Has(field) || p.out[field.Number()] {
			continue
		}
		s := newSlot(msg, field, depth, free)
		s.must = s.must || p.in[field.Number()]
		m.fill(s)
	}
}

// fill fills one field, if it is to be filled; ok is false when it stays
// unset or has a value that does not suit the rules.
func (m *maker) fill(s slot) (ok bool) {
	optional := s.field.HasPresence() || s.field.IsList() || s.field.IsMap()
	if !s.must && optional && (!m.chance(m.presence) || m.tooDeep(s.field, s.depth)) {
		return false
	}
	switch {
	case s.field.IsMap():
		ok = m.table(s)
	case s.field.IsList():
		ok = m.list(s)
	default:
		var v protoreflect.Value
		if v, ok = m.value(s, 0); ok || s.must || !optional {
			s.parent.Set(s.field, v)
		}
	}
	if !ok && !s.must && optional {
		s.parent.Clear(s.field) // unset is valid where no value is
	}
	return ok
}

// tooDeep tells whether an optional message has no room left below depth.
func (m *maker) tooDeep(field protoreflect.FieldDescriptor, depth int) bool {
	child := below(field)
	return child != nil && (m.nested >= nestedBudget || depth+1+m.height(child) > m.depth)
}

// inside fills up the messages of a field that is kept.
func (m *maker) inside(msg protoreflect.Message, field protoreflect.FieldDescriptor, depth int, free bool) {
	if below(field) == nil {
		return
	}
	free = newSlot(msg, field, depth, free).free
	switch value := msg.Get(field); {
	case field.IsList():
		for i := range value.List().Len() {
			m.message(value.List().Get(i).Message(), depth+1, free)
		}
	case field.IsMap():
		for _, key := range sorted(value.Map()) {
			m.message(value.Map().Get(key).Message(), depth+1, free)
		}
	default:
		m.message(value.Message(), depth+1, free)
	}
}

// sorted gives the keys of a map in an order that is always the same.
func sorted(table protoreflect.Map) []protoreflect.MapKey {
	keys := make(map[string]protoreflect.MapKey)
	table.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys[key.String()] = key
		return true
	})
	out := make([]protoreflect.MapKey, 0, len(keys))
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, keys[name])
	}
	return out
}

// oneof fills exactly one member of a oneof: a required one first, else any
// that fits, trying the next where one has no valid value.
func (m *maker) oneof(msg protoreflect.Message, oneof protoreflect.OneofDescriptor, depth int, free bool) {
	rules, err := protovalidate.ResolveOneofRules(oneof)
	must := err == nil && rules.GetRequired() && !free
	var members []slot
	for i := range oneof.Fields().Len() {
		s := newSlot(msg, oneof.Fields().Get(i), depth, free)
		must = must || s.must
		members = append(members, s)
	}
	if !must && !m.chance(m.presence) {
		return
	}
	m.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	slices.SortStableFunc(members, func(a, b slot) int {
		return strings.Compare(m.rank(a), m.rank(b))
	})
	for _, s := range members {
		if m.rank(s) == rankDeep && !must {
			continue
		}
		s.must = true
		if m.fill(s) {
			return
		}
		msg.Clear(s.field)
	}
	if must && len(members) > 0 { // for the validator to report
		s := members[0]
		s.must = true
		m.fill(s)
	}
}

const (
	rankMust = "0"
	rankFits = "1"
	rankDeep = "2"
)

// rank orders the members of a oneof; those that would nest too deep are last.
func (m *maker) rank(s slot) string {
	switch {
	case s.must:
		return rankMust
	case m.tooDeep(s.field, s.depth):
		return rankDeep
	default:
		return rankFits
	}
}

// plan says which fields the message's own rules want in and out.
type plan struct {
	in, out map[protoreflect.FieldNumber]bool
}

// plan chooses one field for each (buf.validate.message).oneof.
func (m *maker) plan(msg protoreflect.Message, depth int, free bool) plan {
	if free {
		return plan{}
	}
	groups := messageRules(msg.Descriptor()).GetOneof()
	if len(groups) == 0 {
		return plan{}
	}
	p := plan{make(map[protoreflect.FieldNumber]bool), make(map[protoreflect.FieldNumber]bool)}
	for _, group := range groups {
		fields := named(msg.Descriptor(), group.GetFields())
		chosen := m.choose(p, msg, fields, depth)
		if chosen == nil || !p.in[chosen.Number()] && !group.GetRequired() && !m.chance(m.presence) {
			chosen = nil
		}
		for _, field := range fields {
			if field == chosen {
				p.in[field.Number()] = true
			} else {
				p.out[field.Number()] = true
			}
		}
	}
	return p
}

// choose picks the field of a group that is set: one that is set already or
// that another group chose, one that is required, or any that fits.
func (m *maker) choose(p plan, msg protoreflect.Message, fields []protoreflect.FieldDescriptor, depth int) protoreflect.FieldDescriptor {
	var fit, deep []protoreflect.FieldDescriptor
	for _, field := range fields {
		switch {
		case msg.Has(field), p.in[field.Number()]:
			return field
		case p.out[field.Number()]:
		case fieldRules(field).GetRequired():
			return field
		case m.tooDeep(field, depth):
			deep = append(deep, field)
		default:
			fit = append(fit, field)
		}
	}
	switch {
	case len(fit) > 0:
		return pick(m.draw, fit)
	case len(deep) > 0:
		return deep[0]
	default:
		return nil
	}
}

func isEmpty(msg protoreflect.Message) bool {
	empty := true
	msg.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		empty = false
		return false
	})
	return empty
}
