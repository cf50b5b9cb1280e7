package protosync_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/protosync"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
)

// server tells of a service a.v1.S in the file of that path.
type server struct {
	path    string
	imports []string
	others  map[string]*descriptorpb.FileDescriptorProto
}

func (s *server) Services(context.Context) ([]string, error) {
	return []string{"a.v1.S", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}, nil
}

func (s *server) Symbol(_ context.Context, name string) ([]*descriptorpb.FileDescriptorProto, error) {
	if name != "a.v1.S" {
		return nil, schema.ErrNotFound
	}
	return []*descriptorpb.FileDescriptorProto{{
		Name: &s.path, Package: proto.String("a.v1"), Syntax: proto.String("proto3"), Dependency: s.imports,
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S")}},
	}}, nil
}

func (s *server) File(_ context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error) {
	if f := s.others[path]; f != nil {
		return []*descriptorpb.FileDescriptorProto{f}, nil
	}
	return nil, schema.ErrNotFound
}

func TestServersThatNameFilesElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../../etc/a.proto", "/a.proto", "a.sh", ".git/a.proto"} {
		_, err := protosync.Collect(t.Context(), schema.New(&server{path: path}), protosync.Options{})
		if exit.Code(err) != exit.Refused {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSchemasWithHolesAreRefused(t *testing.T) {
	t.Parallel()
	_, err := protosync.Collect(t.Context(), schema.New(&server{path: "a.proto", imports: []string{"b.proto"}}), protosync.Options{})
	if err == nil || !strings.Contains(err.Error(), "a.proto imports b.proto, which the server does not tell") {
		t.Errorf("error %v", err)
	}
}

func TestWhatGeneratorsBringAlongIsLeftOutOfSources(t *testing.T) {
	t.Parallel()
	s := &server{path: "a.proto", imports: []string{"b/b.proto", "google/protobuf/any.proto", "buf/validate/validate.proto"}, others: map[string]*descriptorpb.FileDescriptorProto{
		"b/b.proto": {Name: proto.String("b/b.proto"), Package: proto.String("b"), Syntax: proto.String("proto3")},
	}}
	got, err := protosync.Collect(t.Context(), schema.New(s), protosync.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 2 || got.Files["a.proto"] == nil || got.Files["b/b.proto"] == nil {
		t.Errorf("%d files", len(got.Files))
	}
	if !slices.Contains(got.LeftOut, "buf/validate/validate.proto") || !slices.Contains(got.LeftOut, "google/protobuf/any.proto") {
		t.Errorf("left out %q", got.LeftOut)
	}
	for name, text := range got.Files {
		if !strings.HasPrefix(string(text), protosync.Marker+"\n") {
			t.Errorf("%s is not marked:\n%s", name, text)
		}
	}
	// The set has all, what is imported first.
	at := map[string]int{}
	for i, f := range got.Set.GetFile() {
		at[f.GetName()] = i
		for _, dep := range f.GetDependency() {
			if j, ok := at[dep]; !ok || j > i {
				t.Errorf("%s comes before %s", f.GetName(), dep)
			}
		}
	}
	with, err := protosync.Collect(t.Context(), schema.New(s), protosync.Options{Dependencies: true})
	if err != nil || with.Files["buf/validate/validate.proto"] == nil || with.Files["google/protobuf/any.proto"] != nil {
		t.Errorf("with dependencies: %d files, %v", len(with.Files), err)
	}
}

func TestServersWithoutServicesOfTheirOwnAreRefused(t *testing.T) {
	t.Parallel()
	_, err := protosync.Collect(t.Context(), schema.New(&bare{}), protosync.Options{})
	if exit.Code(err) != exit.Refused {
		t.Errorf("error %v", err)
	}
	if _, err := protosync.Collect(t.Context(), schema.New(&bare{}), protosync.Options{Infrastructure: true}); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

type bare struct{ server }

func (*bare) Services(context.Context) ([]string, error) {
	return []string{"grpc.health.v1.Health"}, nil
}
