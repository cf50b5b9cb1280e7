package fake

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// isLeaf tells whether a message is a well-known type, which is made like a
// scalar from the rules of the field that holds it.
func isLeaf(desc protoreflect.MessageDescriptor) bool {
	if desc.ParentFile().Package() != "google.protobuf" {
		return false
	}
	switch desc.Name() {
	case "Timestamp", "Duration", "Any", "Struct", "Value", "ListValue", "FieldMask", "Empty",
		"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value",
		"BoolValue", "StringValue", "BytesValue":
		return true
	}
	return false
}

// leaf fills a well-known type. A slot without a field is that of a message
// on its own.
func (m *maker) leaf(s slot, msg protoreflect.Message, try int) {
	switch name := msg.Descriptor().Name(); name {
	case "Timestamp":
		m.timestamp(s, msg, try)
	case "Duration":
		m.duration(s, msg, try)
	case "Any":
		m.any(s, msg, try)
	case "Struct":
		m.object(msg)
	case "Value":
		m.dynamic(msg)
	case "ListValue":
		m.array(msg)
	case "FieldMask":
		m.mask(s, msg, try)
	case "Empty":
	default:
		m.wrapper(s, msg, try)
	}
}

// wrapper fills google.protobuf.StringValue and its like: the field's scalar
// rules are meant for the value inside.
func (m *maker) wrapper(s slot, msg protoreflect.Message, try int) {
	value := msg.Descriptor().Fields().ByName("value")
	s.must = false
	if s.field == nil {
		s.field = value
	}
	msg.Set(value, m.scalar(s, value, try))
}

// any packs a valid fake: of a type the rules list, else a StringValue.
func (m *maker) any(s slot, msg protoreflect.Message, try int) {
	urls := []string{"type.googleapis.com/google.protobuf.StringValue"}
	if try%4 > 0 { // not_in may forbid it
		urls = []string{
			"type.googleapis.com/google.protobuf.Int64Value",
			"type.googleapis.com/google.protobuf.BoolValue",
			"type.googleapis.com/google.protobuf.Duration",
		}
	}
	if v, ok := rule(s.typed("any"), "in"); ok && v.List().Len() > 0 {
		urls = nil
		for i := range v.List().Len() {
			urls = append(urls, v.List().Get(i).String())
		}
	}
	url := pick(m.draw, urls)
	fields := msg.Descriptor().Fields()
	msg.Set(fields.ByName("type_url"), protoreflect.ValueOfString(url))
	msg.Set(fields.ByName("value"), protoreflect.ValueOfBytes(m.packed(url)))
}

// packed makes the content of an Any; empty where the type is not known, or
// no valid message of it is found.
func (m *maker) packed(url string) []byte {
	t, err := m.types.FindMessageByURL(url)
	if err != nil || m.packing {
		return nil
	}
	inner := maker{draw: m.draw, Faker: m.Faker, packing: true}
	made, err := inner.build(t.New())
	if err != nil {
		return nil
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(made.Interface())
	if err != nil {
		return nil
	}
	return wire
}

// object fills a google.protobuf.Struct with a few plain values.
func (m *maker) object(msg protoreflect.Message) {
	table := msg.Mutable(msg.Descriptor().Fields().ByName("fields")).Map()
	for range m.between(1, 3) {
		v := table.NewValue()
		m.dynamic(v.Message())
		table.Set(protoreflect.ValueOfString(plain(m.words.Noun())).MapKey(), v)
	}
}

// dynamic fills a google.protobuf.Value with a string, number or bool.
func (m *maker) dynamic(msg protoreflect.Message) {
	fields := msg.Descriptor().Fields()
	switch m.IntN(3) {
	case 0:
		msg.Set(fields.ByName("number_value"), protoreflect.ValueOfFloat64(float64(m.between(1, 1000))))
	case 1:
		msg.Set(fields.ByName("bool_value"), protoreflect.ValueOfBool(m.chance(0.5)))
	default:
		msg.Set(fields.ByName("string_value"), protoreflect.ValueOfString(m.words.Noun()))
	}
}

func (m *maker) array(msg protoreflect.Message) {
	list := msg.Mutable(msg.Descriptor().Fields().ByName("values")).List()
	for range m.between(1, 3) {
		m.dynamic(list.AppendMutable().Message())
	}
}

// mask names fields: those the rules list, else those of the one message
// beside it (AIP-134: update_mask is about the resource of the request), else
// of the message it is in.
func (m *maker) mask(s slot, msg protoreflect.Message, try int) {
	rules := s.typed("field_mask")
	paths := msg.Mutable(msg.Descriptor().Fields().ByName("paths")).List()
	if v, ok := m.maskGiven(rules, try); ok {
		given := v.Message().Get(v.Message().Descriptor().Fields().ByName("paths")).List()
		for i := range given.Len() {
			paths.Append(given.Get(i))
		}
		return
	}
	var from []string
	if v, ok := rule(rules, "in"); ok {
		for i := range v.List().Len() {
			from = append(from, v.List().Get(i).String())
		}
	} else if s.field != nil {
		from = maskable(s.field)
	}
	if len(from) == 0 {
		from = []string{"name"}
	}
	if try >= valueTries/2 { // not_in may forbid all of them
		from = []string{plain(m.words.Noun()), "display_name", "labels"}
	}
	m.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	for _, path := range from[:m.between(1, min(3, len(from)))] {
		paths.Append(protoreflect.ValueOfString(path))
	}
}

// maskGiven is given without in, which lists paths here and not values.
func (m *maker) maskGiven(rules protoreflect.Message, try int) (protoreflect.Value, bool) {
	if v, ok := rule(rules, "const"); ok {
		return v, true
	}
	if try == 0 {
		return m.listed(rules, "example")
	}
	return protoreflect.Value{}, false
}

func maskable(field protoreflect.FieldDescriptor) []string {
	about := field.ContainingMessage()
	var resource []protoreflect.MessageDescriptor
	for i := range about.Fields().Len() {
		f := about.Fields().Get(i)
		if child := below(f); child != nil && !f.IsList() && !f.IsMap() {
			resource = append(resource, child)
		}
	}
	if len(resource) == 1 {
		about = resource[0]
	}
	var paths []string
	for i := range about.Fields().Len() {
		if f := about.Fields().Get(i); f != field {
			paths = append(paths, string(f.Name()))
		}
	}
	return paths
}
