package fake

import (
	"fmt"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The bounds of the search: proposals for a whole message, and changes to
// each of them. An unsatisfiable message costs all of it, 488 validations.
const (
	proposals = 8
	repairs   = 60
)

// next makes the n-th message of the sequence.
func (f *Faker) next(base protoreflect.Message, n uint64) (protoreflect.Message, error) {
	if f.err != nil {
		return nil, f.err
	}
	m := &maker{draw: newDraw(f.seed, n), Faker: f}
	if f.keep {
		m.original = base
	}
	return m.build(base)
}

// build proposes messages and repairs them until one is valid.
func (m *maker) build(base protoreflect.Message) (protoreflect.Message, error) {
	m.stuck = make(map[slotID]bool)
	if m.height(base.Descriptor()) >= endless {
		return nil, m.endlessError(base.Descriptor())
	}
	var best verdict
	for try := range proposals {
		msg := proto.Clone(base.Interface()).ProtoReflect()
		m.nested = 0
		m.message(msg, 0, false)
		found, err := m.judge(msg)
		if err != nil {
			return nil, err
		}
		for range repairs {
			if found.valid() {
				return msg, nil
			}
			other := proto.Clone(msg.Interface()).ProtoReflect()
			m.mend(other, found)
			then, err := m.judge(other)
			if err != nil {
				return nil, err
			}
			if !then.worse(found) {
				msg, found = other, then
			}
		}
		if try == 0 || best.worse(found) {
			best = found
		}
	}
	if best.runtime != nil {
		return nil, fmt.Errorf("no valid message found: %w", best.runtime)
	}
	return nil, newError(best.violations)
}

func (m *maker) judge(msg protoreflect.Message) (verdict, error) {
	found, err := judge(m.check.Validate(msg.Interface()))
	if err == nil && found.runtime == nil {
		found.runtime = proto.CheckInitialized(msg.Interface())
	}
	return found, err
}

// mend changes a message where it breaks rules: CEL by solving, everything
// else, and now and then CEL as well, by making the field anew.
func (m *maker) mend(msg protoreflect.Message, found verdict) {
	m.nested = 0
	if m.original != nil {
		// Anew for each clone, since fields are known by their message in memory.
		m.protected = make(map[keptKey]bool)
		m.protect(m.original, msg)
	}
	if found.runtime != nil {
		m.shake(msg)
	}
	for _, v := range found.violations {
		p, ok := locate(msg, v.Proto.GetField())
		if !ok {
			m.shake(msg)
			continue
		}
		s := solver{maker: m}
		var known []expression
		if !v.Proto.GetForKey() {
			known = m.expressions(v, p.field, about(p))
		}
		for _, x := range known {
			s.vars = map[string]any{"this": p}
			for name, value := range x.vars {
				s.vars[name] = value
			}
			s.solve(x.root, true)
		}
		switch {
		case len(known) > 0 && !m.chance(0.15):
		case p.field == nil, about(p) != nil && !isLeaf(about(p)):
			m.shake(p.message())
		case v.Proto.GetForKey():
			s.redraw(place{msg: p.msg, field: p.field})
		default:
			s.redraw(p)
		}
	}
}

// about gives the message at a place, if it is one.
func about(p place) protoreflect.MessageDescriptor {
	if p.field == nil {
		return p.msg.Descriptor()
	}
	if p.plural() {
		return nil
	}
	return p.desc().Message()
}

// shake makes one field of a message anew, or all that a oneof rule of the
// message is about.
func (m *maker) shake(msg protoreflect.Message) {
	if msg == nil || msg.Descriptor().Fields().Len() == 0 {
		return
	}
	s := solver{maker: m}
	for _, group := range messageRules(msg.Descriptor()).GetOneof() {
		for _, field := range named(msg.Descriptor(), group.GetFields()) {
			if p := (place{msg: msg, field: field}); !m.kept(p) {
				msg.Clear(field)
			}
		}
		if fields := named(msg.Descriptor(), group.GetFields()); len(fields) > 0 {
			s.redraw(place{msg: msg, field: pick(m.draw, fields)})
		}
	}
	fields := msg.Descriptor().Fields()
	field := fields.Get(m.IntN(fields.Len()))
	if oneof := field.ContainingOneof(); oneof != nil && msg.WhichOneof(oneof) != nil && m.kept(place{msg: msg, field: msg.WhichOneof(oneof)}) {
		return
	}
	if field.HasPresence() && m.chance(0.3) && !m.kept(place{msg: msg, field: field}) && !required(field, fieldRules(field)) {
		msg.Clear(field)
		return
	}
	s.redraw(place{msg: msg, field: field})
}

// locate finds the place a violation is about; for a oneof that is the
// message it is in.
func locate(msg protoreflect.Message, path *validate.FieldPath) (place, bool) {
	p := place{msg: msg}
	for _, element := range path.GetElements() {
		if msg = p.message(); msg == nil {
			return p, false
		}
		field := msg.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(element.GetFieldNumber()))
		if field == nil {
			return place{msg: msg}, msg.Descriptor().Oneofs().ByName(protoreflect.Name(element.GetFieldName())) != nil
		}
		p = place{msg: msg, field: field}
		switch {
		case element.HasIndex():
			p.role, p.index = item, int(element.GetIndex())
			if p.index >= msg.Get(field).List().Len() {
				return p, false // an earlier change took it away
			}
		case element.HasSubscript():
			key, ok := subscript(field.MapKey(), element)
			p.role, p.key = mapValue, key
			if !ok || !msg.Get(field).Map().Has(key) {
				return p, false
			}
		}
	}
	return p, true
}

func subscript(desc protoreflect.FieldDescriptor, element *validate.FieldPathElement) (protoreflect.MapKey, bool) {
	var key any
	switch {
	case element.HasBoolKey():
		key = element.GetBoolKey()
	case element.HasIntKey():
		key = element.GetIntKey()
	case element.HasUintKey():
		key = element.GetUintKey()
	default:
		key = element.GetStringKey()
	}
	v, ok := fit(desc.Kind(), key)
	return v.MapKey(), ok
}

// correct solves the CEL rules of one value, before it is part of a message.
func (m *maker) correct(s slot, v protoreflect.Value, objections []*protovalidate.Violation) (protoreflect.Value, bool) {
	scratch := s.put(v)
	p := place{msg: scratch, field: s.field, role: s.role}
	if s.role == mapKey || s.role == mapValue {
		if s.desc().Message() != nil {
			return v, false
		}
		// A key cannot be changed in its map; the entry stands in for it.
		entry := dynamicpb.NewMessage(s.field.Message())
		entry.Set(entry.Descriptor().Fields().ByNumber(s.desc().Number()), v)
		p = place{msg: entry, field: entry.Descriptor().Fields().ByNumber(s.desc().Number())}
	}
	for range celRounds {
		known := false
		for _, objection := range objections {
			for _, x := range m.expressions(objection, s.field, nil) {
				known = true
				solve := solver{maker: m, vars: map[string]any{"this": p}}
				for name, value := range x.vars {
					solve.vars[name] = value
				}
				solve.solve(x.root, true)
			}
		}
		if !known {
			return v, false
		}
		v = p.raw()
		if objections = m.objections(s, v); len(objections) == 0 {
			return v, true
		}
	}
	return v, false
}
