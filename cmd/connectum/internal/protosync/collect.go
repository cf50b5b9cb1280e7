// Package protosync writes the schema of a server as files.
package protosync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
)

// Marker is the first line of every file that is written. Files without it are
// somebody's own.
const Marker = "// Written by connectum proto sync: without comments, and to be overwritten."

// Options say what is collected.
type Options struct {
	// Infrastructure includes the services that every server has: health and
	// reflection.
	Infrastructure bool
	// Dependencies includes what every generator brings along: google/protobuf
	// never, google/api, google/rpc, google/type and buf/validate.
	Dependencies bool
}

// Schema is what a server told.
type Schema struct {
	// Services are the services that were asked for.
	Services []string
	// Files are the sources, by path.
	Files map[string][]byte
	// LeftOut are the files that generators bring along.
	LeftOut []string
	// Set has every file, those left out as well, and what is imported first.
	Set *descriptorpb.FileDescriptorSet
}

// Collect asks s for everything. Nothing is written.
func Collect(ctx context.Context, s *schema.Schema, o Options) (*Schema, error) {
	all, err := s.Services(ctx)
	if err != nil {
		return nil, err
	}
	out := &Schema{Files: map[string][]byte{}, Set: &descriptorpb.FileDescriptorSet{}}
	for _, name := range all {
		if !o.Infrastructure && (strings.HasPrefix(name, "grpc.reflection.") || strings.HasPrefix(name, "grpc.health.")) {
			continue
		}
		if _, err := s.Find(ctx, name); err != nil {
			return nil, err
		}
		out.Services = append(out.Services, name)
	}
	if len(out.Services) == 0 {
		return nil, exit.With(exit.Refused, errors.New("the server tells of no services but those that every server has: --infrastructure writes them"))
	}
	files, err := s.Files()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if err := complete(f); err != nil {
			return nil, err
		}
		if provided(f.Path(), o) {
			out.LeftOut = append(out.LeftOut, f.Path())
			continue
		}
		names = append(names, f.Path())
	}
	if err := CheckNames(names); err != nil {
		return nil, exit.With(exit.Refused, err)
	}
	for _, f := range files {
		if slices.Contains(out.LeftOut, f.Path()) {
			continue
		}
		text, err := schema.Text(f)
		if err != nil {
			return nil, err
		}
		out.Files[f.Path()] = []byte(Marker + "\n" + text)
	}
	seen := map[string]bool{}
	for _, f := range files {
		out.append(f, seen)
	}
	return out, nil
}

// append adds what f imports to the set, then f.
func (s *Schema) append(f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		s.append(f.Imports().Get(i).FileDescriptor, seen)
	}
	s.Set.File = append(s.Set.File, protodesc.ToFileDescriptorProto(f))
}

// complete refuses a file that imports what the server does not tell.
func complete(f protoreflect.FileDescriptor) error {
	for i := range f.Imports().Len() {
		if in := f.Imports().Get(i); in.IsPlaceholder() {
			return fmt.Errorf("the schema has a hole: %s imports %s, which the server does not tell", f.Path(), in.Path())
		}
	}
	return nil
}

// provided reports whether generators bring a file along.
func provided(path string, o Options) bool {
	if strings.HasPrefix(path, "google/protobuf/") {
		return true
	}
	return !o.Dependencies && slices.ContainsFunc([]string{"google/api/", "google/rpc/", "google/type/", "buf/validate/"},
		func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// Binary returns the descriptor set as a file, the same for the same schema.
func (s *Schema) Binary() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(s.Set)
}
