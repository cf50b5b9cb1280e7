// Package redact decides what is secret in messages: the fields marked with
// debug_redact in their schema, and those of an enum whose value has it.
package redact

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// IsSecret reports whether field fd, which holds v, is secret: it is marked, or
// among its values is one of an enum that is.
func IsSecret(fd protoreflect.FieldDescriptor, v protoreflect.Value) (secret bool) {
	values := enum(fd)
	switch {
	case marked(fd):
		return true
	case values == nil:
		return false
	case fd.IsMap():
		v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
			secret = isSecretValue(values.Values().ByNumber(v.Enum()))
			return !secret
		})
		return secret
	case fd.IsList():
		for i := range v.List().Len() {
			if isSecretValue(values.Values().ByNumber(v.List().Get(i).Enum())) {
				return true
			}
		}
		return false
	}
	return isSecretValue(values.Values().ByNumber(v.Enum()))
}

// CanBeSecret reports whether field fd is secret with some value.
func CanBeSecret(fd protoreflect.FieldDescriptor) bool {
	if marked(fd) {
		return true
	}
	if values := enum(fd); values != nil {
		for i := range values.Values().Len() {
			if isSecretValue(values.Values().Get(i)) {
				return true
			}
		}
	}
	return false
}

func marked(fd protoreflect.FieldDescriptor) bool {
	o, ok := fd.Options().(*descriptorpb.FieldOptions)
	return ok && o.GetDebugRedact()
}

// enum is the type of what fd holds, or nil.
func enum(fd protoreflect.FieldDescriptor) protoreflect.EnumDescriptor {
	if fd.IsMap() {
		return fd.MapValue().Enum()
	}
	return fd.Enum()
}

// isSecretValue reports a value that is marked; nil is one that the schema does not
// know.
func isSecretValue(v protoreflect.EnumValueDescriptor) bool {
	if v == nil {
		return false
	}
	o, ok := v.Options().(*descriptorpb.EnumValueOptions)
	return ok && o.GetDebugRedact()
}
