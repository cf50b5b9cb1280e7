package schema

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// FromFiles is a source of files that have been compiled, with all they import.
func FromFiles(files []protoreflect.FileDescriptor) Source {
	s := &fileSource{files: map[string]protoreflect.FileDescriptor{}}
	for _, f := range files {
		s.add(f)
		for i := range f.Services().Len() {
			s.services = append(s.services, string(f.Services().Get(i).FullName()))
		}
	}
	return s
}

type fileSource struct {
	services []string
	files    map[string]protoreflect.FileDescriptor
}

func (s *fileSource) add(f protoreflect.FileDescriptor) {
	if s.files[f.Path()] != nil {
		return
	}
	s.files[f.Path()] = f
	for i := range f.Imports().Len() {
		s.add(f.Imports().Get(i).FileDescriptor)
	}
}

func (s *fileSource) Services(context.Context) ([]string, error) { return s.services, nil }

func (s *fileSource) Symbol(_ context.Context, name string) ([]*descriptorpb.FileDescriptorProto, error) {
	for _, f := range s.files {
		if declares(f, name) {
			return []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(f)}, nil
		}
	}
	return nil, fmt.Errorf("no file has %s: %w", name, ErrNotFound)
}

func (s *fileSource) File(_ context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error) {
	if f := s.files[path]; f != nil {
		return []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(f)}, nil
	}
	return nil, fmt.Errorf("%s: %w", path, ErrNotFound)
}

// declares reports whether f has the element of that full name.
func declares(f protoreflect.FileDescriptor, name string) bool {
	rest := name
	if f.Package() != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(name, string(f.Package())+"."); !ok {
			return false
		}
	}
	first, rest, nested := strings.Cut(rest, ".")
	n := protoreflect.Name(first)
	if m := f.Messages().ByName(n); m != nil {
		for nested && m != nil {
			first, rest, nested = strings.Cut(rest, ".")
			n = protoreflect.Name(first)
			if !nested && (m.Fields().ByName(n) != nil || m.Oneofs().ByName(n) != nil || m.Enums().ByName(n) != nil || m.Extensions().ByName(n) != nil) {
				return true
			}
			m = m.Messages().ByName(n)
		}
		return m != nil
	}
	if s := f.Services().ByName(n); s != nil {
		return !nested || s.Methods().ByName(protoreflect.Name(rest)) != nil
	}
	return !nested && (f.Enums().ByName(n) != nil || f.Extensions().ByName(n) != nil)
}
