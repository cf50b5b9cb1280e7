package schema

import (
	"context"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Types resolves messages and extensions by name, for JSON, Any and the details
// of errors: what the schema knows, what it can ask for, and what the binary
// brings along. Its questions end with ctx.
func (s *Schema) Types(ctx context.Context) *Types { return &Types{s, ctx} }

// Types is a resolver; see [Schema.Types].
type Types struct {
	schema *Schema
	ctx    context.Context // of the command; resolvers have no argument for it
}

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (t *Types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if d, err := t.schema.Find(t.ctx, string(name)); err == nil {
		if m, ok := d.(protoreflect.MessageDescriptor); ok {
			return dynamicpb.NewMessageType(m), nil
		}
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (t *Types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return t.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (t *Types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if types := t.schema.knownTypes(); types != nil {
		if x, err := types.FindExtensionByName(name); err == nil {
			return x, nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (t *Types) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if types := t.schema.knownTypes(); types != nil {
		if x, err := types.FindExtensionByNumber(message, number); err == nil {
			return x, nil
		}
	}
	return protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
}

func (s *Schema) knownTypes() *dynamicpb.Types {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.types
}
