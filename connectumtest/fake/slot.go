package fake

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// role says which value of a field is meant.
type role int

const (
	whole    role = iota // the field itself: a scalar, a message, a list or a map
	item                 // an element of a list
	mapKey               // a key of a map
	mapValue             // a value of a map
)

// slot is a place for one value: where it goes and what binds it there.
type slot struct {
	parent protoreflect.Message
	field  protoreflect.FieldDescriptor
	role   role
	rules  *validate.FieldRules // nil when none apply
	must   bool                 // the value has to count as set
	depth  int                  // of parent
	free   bool                 // below IGNORE_ALWAYS, where nothing is validated
}

// slotID names a slot apart from the message it is in.
type slotID struct {
	field protoreflect.FieldDescriptor
	role  role
}

func (s slot) id() slotID { return slotID{s.field, s.role} }

// newSlot is the slot of a field as a whole.
func newSlot(parent protoreflect.Message, field protoreflect.FieldDescriptor, depth int, free bool) slot {
	s := slot{parent: parent, field: field, depth: depth, free: free}
	if !free {
		s.rules = fieldRules(field)
	}
	if s.rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		s.rules, s.free = nil, true
	}
	s.must = required(field, s.rules)
	return s
}

// of is the slot of an element, key or value of the field.
func (s slot) of(r role) slot {
	s.role, s.must = r, false
	switch r {
	case item:
		s.rules = s.rules.GetRepeated().GetItems()
	case mapKey:
		s.rules = s.rules.GetMap().GetKeys()
	case mapValue:
		s.rules = s.rules.GetMap().GetValues()
	}
	if s.rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		s.rules, s.free = nil, true
	}
	return s
}

// desc describes the value: that of a map's key or value, or the field.
func (s slot) desc() protoreflect.FieldDescriptor {
	switch s.role {
	case mapKey:
		return s.field.MapKey()
	case mapValue:
		return s.field.MapValue()
	default:
		return s.field
	}
}

// label is the field whose name says what the value means.
func (s slot) label() protoreflect.FieldDescriptor {
	if s.role == mapKey {
		return s.field.MapKey()
	}
	return s.field
}

// zero makes a new value for a slot of messages.
func (s slot) zero() protoreflect.Value {
	v := s.parent.NewField(s.field)
	switch s.role {
	case item:
		return v.List().NewElement()
	case mapValue:
		return v.Map().NewValue()
	default:
		return v
	}
}

// typed gives the rules message for the type of the value, such as
// StringRules; nil when there is none or it is for another type.
func (s slot) typed(name string) protoreflect.Message {
	if s.rules == nil {
		return nil
	}
	refl := s.rules.ProtoReflect()
	which := refl.WhichOneof(refl.Descriptor().Oneofs().ByName("type"))
	if which == nil || string(which.Name()) != name {
		return nil
	}
	return refl.Get(which).Message()
}

// put sets the value in an otherwise empty message of the parent's type.
func (s slot) put(v protoreflect.Value) protoreflect.Message {
	msg := s.parent.New()
	switch s.role {
	case whole:
		msg.Set(s.field, v)
	case item:
		msg.Mutable(s.field).List().Append(v)
	case mapKey:
		m := msg.Mutable(s.field).Map()
		m.Set(v.MapKey(), m.NewValue())
	case mapValue:
		m := msg.Mutable(s.field).Map()
		m.Set(zeroKey(s.field.MapKey()), v)
	}
	return msg
}

func zeroKey(key protoreflect.FieldDescriptor) protoreflect.MapKey { return key.Default().MapKey() }

// objections asks the validator about one value, everything else in the
// message aside. It is the judge of every proposal, so that this package
// has no second idea of what a rule means.
func (m *maker) objections(s slot, v protoreflect.Value) []*protovalidate.Violation {
	if s.must && s.role == whole && !s.put(v).Has(s.field) {
		return []*protovalidate.Violation{{Proto: new(validate.Violation)}}
	}
	if s.rules == nil {
		return nil
	}
	only := protovalidate.FilterFunc(func(_ protoreflect.Message, d protoreflect.Descriptor) bool {
		return d == protoreflect.Descriptor(s.field)
	})
	found, err := judge(m.check.Validate(s.put(v).Interface(), protovalidate.WithFilter(only)))
	if err != nil {
		return nil // validating the whole message reports it
	}
	if found.runtime != nil {
		return []*protovalidate.Violation{{Proto: new(validate.Violation)}}
	}
	var mine []*protovalidate.Violation
	for _, v := range found.violations {
		path := v.Proto.GetField().GetElements()
		inside := len(path) > 0 && path[0].HasSubscript()
		if inside == (s.role != whole) && v.Proto.GetForKey() == (s.role == mapKey) {
			mine = append(mine, v)
		}
	}
	return mine
}
