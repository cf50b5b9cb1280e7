package fake

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	valueTries = 64 // proposals for one value
	stuckTries = 8  // for one that no proposal was found for before
	celTries   = 8  // proposals of these that are corrected by their CEL rules
	celRounds  = 4  // corrections of each
)

// value makes a value for a slot that is not a list or map. ok is false when
// no proposal suits the rules; the last one is given all the same. Proposals
// roam the further the higher the try they start from.
func (m *maker) value(s slot, from int) (v protoreflect.Value, ok bool) {
	if v, ok := m.ownValue(s); ok {
		return v, true
	}
	if nested := s.desc().Message(); nested != nil && !isLeaf(nested) {
		v := s.zero()
		m.message(v.Message(), s.depth+1, s.free)
		return v, true
	}
	tries := valueTries
	if m.stuck[s.id()] {
		tries = stuckTries
	}
	for try := from; try < from+tries; try++ {
		v = m.propose(s, try)
		objections := m.objections(s, v)
		if len(objections) == 0 {
			return v, true
		}
		if try < from+celTries {
			if better, ok := m.correct(s, v, objections); ok {
				return better, true
			}
		}
	}
	// IGNORE_IF_ZERO_VALUE may let the zero value pass alone.
	if zero := s.zero(); s.desc().Message() == nil && len(m.objections(s, zero)) == 0 {
		return zero, true
	}
	m.stuck[s.id()] = true
	return v, false
}

// propose draws a value the rules might accept.
func (m *maker) propose(s slot, try int) protoreflect.Value {
	desc := s.desc()
	if desc.Message() != nil {
		v := s.zero()
		m.leaf(s, v.Message(), try)
		return v
	}
	return m.scalar(s, desc, try)
}

// scalar draws a scalar; desc is the slot's, or that of the value in a
// wrapper such as google.protobuf.StringValue.
func (m *maker) scalar(s slot, desc protoreflect.FieldDescriptor, try int) protoreflect.Value {
	kind := desc.Kind()
	rules := s.typed(kind.String())
	name := string(s.label().Name())
	switch kind {
	case protoreflect.BoolKind:
		if v, ok := m.given(rules, try); ok {
			return v
		}
		return protoreflect.ValueOfBool(s.must || m.chance(0.5))
	case protoreflect.EnumKind:
		return m.enum(desc.Enum(), rules, try)
	case protoreflect.StringKind:
		return m.text(s.label(), s.rules.GetString(), try)
	case protoreflect.BytesKind:
		return m.octets(s.rules.GetBytes(), try)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return m.float(name, kind, rules, try)
	default:
		return m.integer(name, kind, rules, try)
	}
}

// enum proposes a defined value, the zero value only where nothing else is
// left: it mostly means unspecified.
func (d draw) enum(desc protoreflect.EnumDescriptor, rules protoreflect.Message, try int) protoreflect.Value {
	if v, ok := d.given(rules, try); ok {
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(v.Int()))
	}
	values := desc.Values()
	var numbers []protoreflect.EnumNumber
	for i := range values.Len() {
		if n := values.Get(i).Number(); n != 0 || try >= valueTries/2 {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 || try >= valueTries*3/4 && !desc.IsClosed() && d.chance(0.5) {
		// not_in may forbid all that is defined; open enums take any number.
		numbers = []protoreflect.EnumNumber{protoreflect.EnumNumber(d.IntN(max(1, try)))}
	}
	if values.Len() == 1 && try < valueTries/2 {
		numbers = []protoreflect.EnumNumber{values.Get(0).Number()}
	}
	return protoreflect.ValueOfEnum(pick(d, numbers))
}

// ownValue asks the caller's generators, see WithValue.
func (m *maker) ownValue(s slot) (protoreflect.Value, bool) {
	if len(m.own) == 0 || s.role == mapKey {
		return protoreflect.Value{}, false
	}
	desc := s.desc()
	names := []protoreflect.FullName{s.field.FullName()}
	if desc.Message() != nil {
		names = append(names, desc.Message().FullName())
	}
	if desc.Enum() != nil {
		names = append(names, desc.Enum().FullName())
	}
	names = append(names, protoreflect.FullName(s.field.Name()))
	for _, name := range names {
		own, ok := m.own[string(name)]
		if !ok {
			continue
		}
		for range valueTries {
			if v, ok := m.convert(s, own(m.Rand, s.field)); ok && len(m.objections(s, v)) == 0 {
				return v, true
			}
		}
		break
	}
	return protoreflect.Value{}, false
}

// convert turns what a Value made into a value of the slot.
func (m *maker) convert(s slot, made any) (protoreflect.Value, bool) {
	desc := s.desc()
	if msg, ok := made.(proto.Message); ok {
		if desc.Message() == nil || msg.ProtoReflect().Descriptor().FullName() != desc.Message().FullName() {
			return protoreflect.Value{}, false
		}
		// By way of the wire, since one of the two may be a dynamic message.
		wire, err := proto.Marshal(msg)
		if err != nil {
			return protoreflect.Value{}, false
		}
		v := s.zero()
		return v, proto.Unmarshal(wire, v.Message().Interface()) == nil
	}
	if desc.Message() != nil {
		return protoreflect.Value{}, false
	}
	return fit(desc.Kind(), made)
}
