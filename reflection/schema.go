package reflection

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schema is all that may be told: files of our own, made of the program's by
// leaving services out.
type schema struct {
	services []string // sorted
	files    *protoregistry.Files
	types    *protoregistry.Types // extensions
}

// newSchema takes the files of roots and what they import, with no services but
// the visible ones.
func newSchema(visible map[protoreflect.FullName]bool, roots []protoreflect.FileDescriptor) *schema {
	s := &schema{files: new(protoregistry.Files), types: new(protoregistry.Types)}
	seen := map[string]bool{}
	var add func(fd protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if fd.IsPlaceholder() || seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		imports := fd.Imports()
		for i := range imports.Len() {
			add(imports.Get(i).FileDescriptor)
		}
		s.add(fd, visible)
	}
	for _, fd := range roots {
		add(fd)
	}
	for name := range visible {
		if _, err := s.files.FindDescriptorByName(name); err == nil {
			s.services = append(s.services, string(name))
		}
	}
	slices.Sort(s.services)
	return s
}

// add takes fd in, after its imports.
func (s *schema) add(fd protoreflect.FileDescriptor, visible map[protoreflect.FullName]bool) {
	file := protodesc.ToFileDescriptorProto(fd)
	file.Service = slices.DeleteFunc(file.Service, func(sd *descriptorpb.ServiceDescriptorProto) bool {
		return !visible[fd.Services().ByName(protoreflect.Name(sd.GetName())).FullName()]
	})
	file.SourceCodeInfo = nil // tells of what was left out
	// An import that is not linked stays unresolved, as it is in the binary.
	own, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, s.files)
	if err != nil || s.files.RegisterFile(own) != nil {
		return // two files that can't be in one registry: the first is told
	}
	s.extensions(own)
}

// container is a file or a message.
type container interface {
	Messages() protoreflect.MessageDescriptors
	Extensions() protoreflect.ExtensionDescriptors
}

func (s *schema) extensions(in container) {
	for i := range in.Extensions().Len() {
		_ = s.types.RegisterExtension(dynamicpb.NewExtensionType(in.Extensions().Get(i)))
	}
	for i := range in.Messages().Len() {
		s.extensions(in.Messages().Get(i))
	}
}

// wellKnown reports whether everybody has the file: tools ask for the types of
// error details, which no file of a service imports.
func wellKnown(path string) bool {
	return strings.HasPrefix(path, "google/rpc/") || strings.HasPrefix(path, "google/protobuf/")
}

// files resolves descriptors for grpcreflect.
type files struct{ *reflector }

func (f files) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	fd, err := f.schema().files.FindFileByPath(path)
	if err != nil && wellKnown(path) {
		fd, err = protoregistry.GlobalFiles.FindFileByPath(path)
	}
	return fd, err
}

func (f files) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	d, err := f.schema().files.FindDescriptorByName(name)
	if err == nil {
		return d, nil
	}
	global, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil || !wellKnown(global.ParentFile().Path()) {
		return nil, protoregistry.NotFound
	}
	return global, nil
}

// types resolves extensions for grpcreflect.
type types struct{ *reflector }

func (t types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return t.schema().types.FindExtensionByName(name)
}

func (t types) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return t.schema().types.FindExtensionByNumber(message, number)
}

func (t types) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	t.schema().types.RangeExtensionsByMessage(message, f)
}
