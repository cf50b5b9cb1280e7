package schema

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Text returns d as proto source; of a file all of it.
func Text(d protoreflect.Descriptor) (text string, err error) {
	defer func() {
		if thrown := recover(); thrown != nil { // the schema may be any stranger's
			err = fmt.Errorf("write %s as proto source: %v", d.FullName(), thrown)
		}
	}()
	p := protoprint.Printer{Indent: "  "}
	text, err = p.PrintProtoToString(d)
	if err != nil {
		return "", fmt.Errorf("write %s as proto source: %w", d.FullName(), err)
	}
	text = loose.ReplaceAllString(text, "${1}($2$3) returns ($4$5)")
	return strings.TrimRight(text, "\n") + "\n", nil
}

// loose is how the printer writes methods, with more blanks than people do.
var loose = regexp.MustCompile(`(?m)^(\s*rpc \w+) \( (stream )?([\w.]+) \) returns \( (stream )?([\w.]+) \)`)

// Kind names what d is.
func Kind(d protoreflect.Descriptor) string {
	switch d := d.(type) {
	case protoreflect.FileDescriptor:
		return "file"
	case protoreflect.ServiceDescriptor:
		return "service"
	case protoreflect.MethodDescriptor:
		return "method"
	case protoreflect.MessageDescriptor:
		return "message"
	case protoreflect.EnumDescriptor:
		return "enum"
	case protoreflect.EnumValueDescriptor:
		return "enum value"
	case protoreflect.OneofDescriptor:
		return "oneof"
	case protoreflect.FieldDescriptor:
		if d.IsExtension() {
			return "extension"
		}
		return "field"
	}
	return "symbol"
}

// Proto returns the descriptor of d as a message.
func Proto(d protoreflect.Descriptor) proto.Message {
	switch d := d.(type) {
	case protoreflect.FileDescriptor:
		return protodesc.ToFileDescriptorProto(d)
	case protoreflect.ServiceDescriptor:
		return protodesc.ToServiceDescriptorProto(d)
	case protoreflect.MethodDescriptor:
		return protodesc.ToMethodDescriptorProto(d)
	case protoreflect.MessageDescriptor:
		return protodesc.ToDescriptorProto(d)
	case protoreflect.EnumDescriptor:
		return protodesc.ToEnumDescriptorProto(d)
	case protoreflect.EnumValueDescriptor:
		return protodesc.ToEnumValueDescriptorProto(d)
	case protoreflect.OneofDescriptor:
		return protodesc.ToOneofDescriptorProto(d)
	case protoreflect.FieldDescriptor:
		return protodesc.ToFieldDescriptorProto(d)
	}
	return nil
}
