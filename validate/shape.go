package validate

import (
	"fmt"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/internal/redact"
)

// shape is what the schema says of a type of message and all that can be in it.
type shape struct {
	desc     protoreflect.MessageDescriptor
	types    []protoreflect.MessageDescriptor // desc and those inside that are validated
	hasRules bool
	secrets  map[protoreflect.FullName]bool // types that hold debug_redact at any depth
	fixed    map[fixedText]bool
}

// fixedText is what a rule says when it is broken, if the schema fixes that.
type fixedText struct{ id, text string }

// shapeOf looks through desc and what it refers to, once per type, so that
// types may refer to each other in circles.
func shapeOf(desc protoreflect.MessageDescriptor) (*shape, error) {
	sh := &shape{desc: desc, secrets: map[protoreflect.FullName]bool{}, fixed: map[fixedText]bool{}}
	seen := map[protoreflect.MessageDescriptor]bool{desc: true}
	sh.types = append(sh.types, desc)
	for n := 0; n < len(sh.types); n++ {
		inside, err := sh.visit(sh.types[n])
		if err != nil {
			return nil, fmt.Errorf("read the rules of %s: %w", sh.types[n].FullName(), err)
		}
		for _, d := range inside {
			if !seen[d] {
				seen[d] = true
				sh.types = append(sh.types, d)
			}
		}
	}
	if sh.hasRules {
		for _, d := range sh.types {
			sh.secrets[d.FullName()] = holdsSecrets(d)
		}
	}
	return sh, nil
}

// visit notes the rules of one type and returns the types of its fields.
func (sh *shape) visit(desc protoreflect.MessageDescriptor) ([]protoreflect.MessageDescriptor, error) {
	own, err := protovalidate.ResolveMessageRules(desc)
	if err != nil {
		return nil, err
	}
	sh.note(own != nil && len(own.GetCel())+len(own.GetCelExpression())+len(own.GetOneof()) > 0, own)
	for i := range desc.Oneofs().Len() {
		one, err := protovalidate.ResolveOneofRules(desc.Oneofs().Get(i))
		if err != nil {
			return nil, err
		}
		sh.hasRules = sh.hasRules || one.GetRequired()
	}
	var inside []protoreflect.MessageDescriptor
	for i := range desc.Fields().Len() {
		fd := desc.Fields().Get(i)
		field, err := protovalidate.ResolveFieldRules(fd)
		if err != nil {
			return nil, err
		}
		if field.GetIgnore() == validatepb.Ignore_IGNORE_ALWAYS {
			continue // and nothing below it
		}
		sh.note(field != nil, field)
		if d := elementType(fd); d != nil {
			inside = append(inside, d)
		}
	}
	return inside, nil
}

// note takes down that there are rules, and what they say when broken.
func (sh *shape) note(are bool, msg interface{ ProtoReflect() protoreflect.Message }) {
	if are {
		sh.hasRules = true
		sh.texts(msg.ProtoReflect())
	}
}

// texts finds the rules in m, at any depth, whose text does not depend on the
// value that breaks them.
func (sh *shape) texts(m protoreflect.Message) {
	if rule, ok := m.Interface().(*validatepb.Rule); ok {
		sh.fixed[fixedText{rule.GetId(), rule.GetMessage()}] = rule.GetMessage() != ""
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsExtension() { // a rule of the schema's own, defined elsewhere
			if defined, err := protovalidate.ResolvePredefinedRules(fd); err == nil && defined != nil {
				sh.texts(defined.ProtoReflect())
			}
		}
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				sh.texts(v.List().Get(i).Message())
			}
		default:
			sh.texts(v.Message())
		}
		return true
	})
}

// elementType returns the type of the messages in a field, or nil.
func elementType(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		return fd.MapValue().Message()
	}
	return fd.Message()
}

// holdsSecrets reports whether there can be something marked debug_redact in a
// message. What is in an Any can't be known.
func holdsSecrets(desc protoreflect.MessageDescriptor) bool {
	seen := map[protoreflect.MessageDescriptor]bool{desc: true}
	for queue := []protoreflect.MessageDescriptor{desc}; len(queue) > 0; queue = queue[1:] {
		if queue[0].FullName() == "google.protobuf.Any" {
			return true
		}
		for i := range queue[0].Fields().Len() {
			fd := queue[0].Fields().Get(i)
			if redact.CanBeSecret(fd) {
				return true
			}
			if d := elementType(fd); d != nil && !seen[d] {
				seen[d] = true
				queue = append(queue, d)
			}
		}
	}
	return false
}
