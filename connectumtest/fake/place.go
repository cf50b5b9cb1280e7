package fake

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// place is a value inside a message, to be read and changed: a field, an
// element of a list, a value of a map, or, without a field, the message.
type place struct {
	msg   protoreflect.Message
	field protoreflect.FieldDescriptor
	role  role
	index int
	key   protoreflect.MapKey
}

// desc describes the value; nil for a message on its own.
func (p place) desc() protoreflect.FieldDescriptor {
	if p.role == mapValue {
		return p.field.MapValue()
	}
	return p.field
}

// plural tells whether the place is a list or map as a whole.
func (p place) plural() bool {
	return p.field != nil && p.role == whole && (p.field.IsList() || p.field.IsMap())
}

// raw reads the value as protobuf has it.
func (p place) raw() protoreflect.Value {
	switch {
	case p.field == nil:
		return protoreflect.ValueOfMessage(p.msg)
	case p.role == item:
		return p.msg.Get(p.field).List().Get(p.index)
	case p.role == mapValue:
		return p.msg.Get(p.field).Map().Get(p.key)
	default:
		return p.msg.Get(p.field)
	}
}

// store sets the value.
func (p place) store(v protoreflect.Value) {
	switch {
	case p.field == nil:
	case p.role == item:
		p.msg.Mutable(p.field).List().Set(p.index, v)
	case p.role == mapValue:
		p.msg.Mutable(p.field).Map().Set(p.key, v)
	default:
		p.msg.Set(p.field, v)
	}
}

// message gives the message at the place, to be changed; nil for scalars,
// lists and maps.
func (p place) message() protoreflect.Message {
	switch {
	case p.field == nil:
		return p.msg
	case p.plural() || p.desc().Message() == nil:
		return nil
	case p.role == whole:
		return p.msg.Mutable(p.field).Message()
	default:
		return p.raw().Message()
	}
}

// inner gives the field of a message by name. Only with create are unset
// messages on the way set, since has() would see that.
func (p place) inner(name string, create bool) (place, bool) {
	if p.plural() || p.field != nil && p.desc().Message() == nil {
		return place{}, false
	}
	msg := p.raw().Message()
	if create {
		msg = p.message()
	}
	field := msg.Descriptor().Fields().ByName(protoreflect.Name(name))
	return place{msg: msg, field: field}, field != nil
}

// elements gives the places of a list's elements, or of a map's values.
func (p place) elements() []place {
	var out []place
	switch {
	case !p.plural():
	case p.field.IsMap():
		for _, key := range sorted(p.raw().Map()) {
			out = append(out, place{msg: p.msg, field: p.field, role: mapValue, key: key})
		}
	default:
		for i := range p.raw().List().Len() {
			out = append(out, place{msg: p.msg, field: p.field, role: item, index: i})
		}
	}
	return out
}

// native reads the value as CEL sees it: int64, uint64, float64, bool,
// string, []byte, *big.Int for what counts time in nanoseconds, or the place
// itself for messages, lists and maps. nil is CEL's null.
func (p place) native() any {
	if p.plural() || p.field == nil {
		return p.timeOr(p)
	}
	return p.timeOr(simple(p.desc().Kind(), p.raw()))
}

func (p place) timeOr(v any) any {
	if v != nil {
		if at, ok := v.(place); !ok || at.plural() {
			return v
		}
	}
	msg := p.raw().Message()
	switch desc := msg.Descriptor(); {
	case !isLeaf(desc):
		return p
	case desc.Name() == "Timestamp":
		return moment{ofParts(p.raw()), false}
	case desc.Name() == "Duration":
		return moment{ofParts(p.raw()), true}
	default:
		value := desc.Fields().ByName("value")
		if value == nil || desc.Name() == "Any" {
			return p
		}
		if !msg.IsValid() {
			return nil
		}
		return simple(value.Kind(), msg.Get(value))
	}
}

func simple(kind protoreflect.Kind, v protoreflect.Value) any {
	switch kind {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return nil
	case protoreflect.EnumKind:
		return int64(v.Enum())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return v.Float()
	}
	switch x := v.Interface().(type) {
	case int32:
		return int64(x)
	case uint32:
		return uint64(x)
	default:
		return x
	}
}

// assign sets the value from one that native could have given; ok is false
// when it does not fit.
func (p place) assign(v any) (ok bool) {
	if p.plural() || p.field == nil && !isLeaf(p.msg.Descriptor()) {
		return false
	}
	if p.field != nil && p.desc().Message() == nil {
		if p.desc().Enum() != nil && p.desc().Enum().IsClosed() {
			if n, ok := v.(int64); !ok || p.desc().Enum().Values().ByNumber(protoreflect.EnumNumber(n)) == nil {
				return false
			}
		}
		made, ok := fit(p.desc().Kind(), v)
		if ok {
			p.store(made)
		}
		return ok
	}
	msg := p.message()
	if m, ok := v.(moment); ok {
		return setMoment(msg, m)
	}
	value := msg.Descriptor().Fields().ByName("value")
	if !isLeaf(msg.Descriptor()) || value == nil || value.Message() != nil {
		return false
	}
	made, ok := fit(value.Kind(), v)
	if ok {
		msg.Set(value, made)
	}
	return ok
}
