// Package schema knows the services and messages of a server: from the server
// itself, by reflection, or from .proto files.
package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"

	// What errors carry, for servers that do not tell of it.
	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Source is where files come from.
type Source interface {
	// Services returns the full names of the services there are.
	Services(ctx context.Context) ([]string, error)
	// Symbol returns the file that defines a full name, and others perhaps.
	Symbol(ctx context.Context, name string) ([]*descriptorpb.FileDescriptorProto, error)
	// File returns the file of that path, and others perhaps.
	File(ctx context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error)
}

// ErrNotFound is in the error when nothing has the name that was asked for.
var ErrNotFound = errors.New("not found")

// The bounds of what a server may make us keep.
const (
	maxFiles = 5000
	maxBytes = 64 << 20
)

// Schema is what is known of a source so far; more is asked for when it is
// needed. It is safe for concurrent use.
type Schema struct {
	source Source

	mu    sync.Mutex
	raw   map[string]*descriptorpb.FileDescriptorProto // by path
	bytes int
	files *protoregistry.Files // made of raw; nil when raw has grown
	types *dynamicpb.Types     // of files
}

// New returns the schema of a source.
func New(s Source) *Schema {
	return &Schema{source: s, raw: map[string]*descriptorpb.FileDescriptorProto{}}
}

// Services returns the full names of the services, sorted.
func (s *Schema) Services(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.source.Services(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Find returns the descriptor of a full name. The error wraps ErrNotFound when
// there is none.
func (s *Schema) Find(ctx context.Context, name string) (protoreflect.Descriptor, error) {
	name = strings.TrimPrefix(name, ".")
	if !protoreflect.FullName(name).IsValid() {
		return nil, exit.With(exit.Usage, fmt.Errorf("%q is no name of a schema", name))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.known(name); d != nil {
		return d, nil
	}
	files, err := s.source.Symbol(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.add(ctx, files); err != nil {
		return nil, err
	}
	if err := s.build(); err != nil {
		return nil, err
	}
	if d := s.known(name); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
}

func (s *Schema) known(name string) protoreflect.Descriptor {
	if s.files == nil {
		return nil
	}
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	return d
}

// Files returns every file that is known, with what each imports, sorted by
// path.
func (s *Schema) Files() ([]protoreflect.FileDescriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.build(); err != nil {
		return nil, err
	}
	var out []protoreflect.FileDescriptor
	for _, path := range slices.Sorted(maps.Keys(s.raw)) {
		if fd, err := s.files.FindFileByPath(path); err == nil {
			out = append(out, fd)
		}
	}
	return out, nil
}

// add keeps files and fetches what they import.
func (s *Schema) add(ctx context.Context, files []*descriptorpb.FileDescriptorProto) error {
	queue := slices.Clone(files)
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		if _, known := s.raw[f.GetName()]; known {
			continue
		}
		s.bytes += proto.Size(f)
		if len(s.raw) >= maxFiles || s.bytes > maxBytes {
			return fmt.Errorf("the schema has more than %d files or %d MiB", maxFiles, maxBytes>>20)
		}
		s.raw[f.GetName()] = f
		s.files, s.types = nil, nil
		for _, path := range f.GetDependency() {
			if s.raw[path] != nil || slices.ContainsFunc(queue, func(q *descriptorpb.FileDescriptorProto) bool { return q.GetName() == path }) {
				continue
			}
			found, err := s.source.File(ctx, path)
			switch {
			case err == nil:
				queue = append(queue, found...)
			case errors.Is(err, ErrNotFound):
				if fd, err := protoregistry.GlobalFiles.FindFileByPath(path); err == nil {
					queue = append(queue, protodesc.ToFileDescriptorProto(fd))
				} // else it stays unresolved, which only matters to who needs it
			default:
				return err
			}
		}
	}
	return nil
}

// build makes the descriptors, twice: custom options can be read only with the
// extensions that the files themselves declare.
func (s *Schema) build() error {
	if s.files != nil {
		return nil
	}
	files, err := s.link(s.raw)
	if err != nil {
		return err
	}
	types := dynamicpb.NewTypes(files)
	again := make(map[string]*descriptorpb.FileDescriptorProto, len(s.raw))
	for path, f := range s.raw {
		wire, err := proto.Marshal(f)
		if err != nil {
			return fmt.Errorf("the schema of %s is broken: %w", path, err)
		}
		with := new(descriptorpb.FileDescriptorProto)
		if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(wire, with); err != nil {
			return fmt.Errorf("the schema of %s is broken: %w", path, err)
		}
		again[path] = with
	}
	if files, err = s.link(again); err != nil {
		return err
	}
	s.files, s.types = files, dynamicpb.NewTypes(files)
	return nil
}

// link makes descriptors of files, those that are imported first.
func (s *Schema) link(raw map[string]*descriptorpb.FileDescriptorProto) (*protoregistry.Files, error) {
	files := new(protoregistry.Files)
	const begun, done = 1, 2
	state := map[string]int{}
	var visit func(path string) error
	visit = func(path string) error {
		f := raw[path]
		if f == nil || state[path] == done {
			return nil
		}
		if state[path] == begun {
			return fmt.Errorf("the schema of %s is broken: it imports itself", path)
		}
		state[path] = begun
		for _, dep := range f.GetDependency() {
			if err := visit(dep); err != nil {
				return err
			}
		}
		state[path] = done
		fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(f, files)
		if err == nil {
			err = files.RegisterFile(fd)
		}
		if err != nil {
			return fmt.Errorf("the schema of %s is broken: %w", path, err)
		}
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(raw)) {
		if err := visit(path); err != nil {
			return nil, err
		}
	}
	return files, nil
}
