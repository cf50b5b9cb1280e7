package fake_test

import (
	"math/rand/v2"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// scribble sets every field to anything: filling without rules.
func scribble(seed uint64, msg protoreflect.Message, depth int) {
	r := rand.New(rand.NewPCG(seed, 1))
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.Message() != nil && depth == 0:
		case field.IsMap():
			table := msg.Mutable(field).Map()
			value := table.NewValue()
			if field.MapValue().Message() != nil {
				scribble(r.Uint64(), value.Message(), depth-1)
			} else {
				value = anything(r, field.MapValue())
			}
			table.Set(anything(r, field.MapKey()).MapKey(), value)
		case field.IsList() && field.Message() != nil:
			scribble(r.Uint64(), msg.Mutable(field).List().AppendMutable().Message(), depth-1)
		case field.IsList():
			msg.Mutable(field).List().Append(anything(r, field))
		case field.Message() != nil:
			scribble(r.Uint64(), msg.Mutable(field).Message(), depth-1)
		default:
			msg.Set(field, anything(r, field))
		}
	}
}

func anything(r *rand.Rand, field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(r.Float32())
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.Float64())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(rune('a' + r.IntN(26))))
	default:
		return protoreflect.ValueOfBytes([]byte{byte(r.Uint32())})
	}
}
