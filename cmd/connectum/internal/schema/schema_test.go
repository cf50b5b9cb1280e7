package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
)

// stranger is a source that tells whatever it likes.
type stranger struct {
	services []string
	files    map[string]*descriptorpb.FileDescriptorProto
	asked    int
}

func (s *stranger) Services(context.Context) ([]string, error) { return s.services, nil }

func (s *stranger) Symbol(context.Context, string) ([]*descriptorpb.FileDescriptorProto, error) {
	s.asked++
	for _, f := range s.files {
		return []*descriptorpb.FileDescriptorProto{f}, nil
	}
	return nil, schema.ErrNotFound
}

func (s *stranger) File(_ context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error) {
	s.asked++
	if f := s.files[path]; f != nil {
		return []*descriptorpb.FileDescriptorProto{f}, nil
	}
	return nil, fmt.Errorf("%s: %w", path, schema.ErrNotFound)
}

func file(path string, imports ...string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: &path, Package: proto.String("a"), Syntax: proto.String("proto3"), Dependency: imports,
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
	}
}

func TestSchemasThatImportThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	s := schema.New(&stranger{files: map[string]*descriptorpb.FileDescriptorProto{"a.proto": file("a.proto", "a.proto")}})
	if _, err := s.Find(t.Context(), "a.M"); err == nil || !strings.Contains(err.Error(), "imports itself") {
		t.Errorf("error %v", err)
	}
}

// A server that makes up one import after the other is left after some.
type endless struct{ stranger }

func (e *endless) File(_ context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error) {
	e.asked++
	f := file(path, fmt.Sprintf("%d.proto", e.asked))
	f.Package = proto.String("p" + strings.TrimSuffix(path, ".proto"))
	return []*descriptorpb.FileDescriptorProto{f}, nil
}

func TestSchemasWithoutEndAreLeft(t *testing.T) {
	t.Parallel()
	e := &endless{stranger{files: map[string]*descriptorpb.FileDescriptorProto{"0.proto": file("0.proto", "1.proto")}}}
	if _, err := schema.New(e).Find(t.Context(), "a.M"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
	if e.asked > 6000 {
		t.Errorf("asked %d times", e.asked)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	s := schema.New(&stranger{files: map[string]*descriptorpb.FileDescriptorProto{"a.proto": file("a.proto", "elsewhere.proto", "google/protobuf/any.proto")}})
	if _, err := s.Find(t.Context(), "a.M"); err != nil { // the hole does not matter to it
		t.Error(err)
	}
	if _, err := s.Find(t.Context(), "a.N"); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"", "a..b", "a b", "/a"} {
		if _, err := s.Find(t.Context(), name); err == nil || errors.Is(err, schema.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Options that the schema itself declares are read, as those the binary knows.
func TestCustomOptionsAreShown(t *testing.T) {
	t.Parallel()
	s := compiled(t, `syntax = "proto3";
package shop.v1;
import "google/protobuf/descriptor.proto";
import "buf/validate/validate.proto";
extend google.protobuf.MethodOptions { string owner = 50001; }
service ShopService {
  rpc Buy(BuyRequest) returns (BuyResponse) { option (owner) = "ada"; }
}
message BuyRequest {
  string name = 1 [(buf.validate.field).string.min_len = 3];
  oneof by { string card = 2; string cash = 3; }
  message Line { string sku = 1; }
  enum Kind { KIND_UNSPECIFIED = 0; }
}
message BuyResponse {}
`)
	for name, want := range map[string][]string{
		"shop.v1.ShopService":     {"rpc Buy(BuyRequest) returns (BuyResponse)", `option (owner) = "ada"`},
		"shop.v1.ShopService.Buy": {"rpc Buy"},
		"shop.v1.BuyRequest":      {"min_len: 3", "oneof by", "message Line"},
		"shop.v1.BuyRequest.name": {"string name = 1"},
		"shop.v1.BuyRequest.by":   {"card"},
		"shop.v1.BuyRequest.Line": {"sku"},
		"shop.v1.BuyRequest.Kind": {"KIND_UNSPECIFIED"},
		"shop.v1.owner":           {"owner = 50001"},
	} {
		d, err := s.Find(t.Context(), name)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := schema.Text(d)
		if err != nil {
			t.Error(err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s has no %q:\n%s", name, w, text)
			}
		}
		if schema.Kind(d) == "symbol" || schema.Proto(d) == nil {
			t.Errorf("%s is a %s", name, schema.Kind(d))
		}
	}
}

// What is written compiles to what it was written from.
func TestFilesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s := compiled(t, `syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
service ShopService { rpc Buy(stream Order) returns (stream Order); }
message Order { map<string, google.protobuf.Timestamp> at = 1; repeated int32 ids = 2 [packed = false]; optional string note = 3; reserved 4 to 6; }
`)
	if _, err := s.Find(t.Context(), "shop.v1.Order"); err != nil {
		t.Fatal(err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path() != "a.proto" {
			continue
		}
		text, err := schema.Text(f)
		if err != nil {
			t.Fatal(err)
		}
		again := compiled(t, text)
		d, err := again.Find(t.Context(), "shop.v1.Order")
		if err != nil {
			t.Fatal(err)
		}
		before, _ := s.Find(t.Context(), "shop.v1.Order")
		if !proto.Equal(schema.Proto(d), schema.Proto(before)) {
			t.Errorf("it came back as\n%s", text)
		}
	}
}

func compiled(t *testing.T, text string) *schema.Schema {
	t.Helper()
	result, err := compile.Compile(t.Context(), compile.Sources{Overlay: map[string]string{"a.proto": text}})
	if err != nil {
		t.Fatal(err)
	}
	return schema.New(schema.FromFiles([]protoreflect.FileDescriptor(result.Files)))
}

// Whatever a server sends for a file, it is read or refused.
func FuzzFilesOfStrangers(f *testing.F) {
	for _, d := range []*descriptorpb.FileDescriptorProto{file("a.proto"), file("a.proto", "a.proto"), file("../a.proto", "b.proto"), {}} {
		wire, err := proto.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		d := new(descriptorpb.FileDescriptorProto)
		if proto.Unmarshal(wire, d) != nil {
			return
		}
		s := schema.New(&stranger{services: []string{"a.S"}, files: map[string]*descriptorpb.FileDescriptorProto{d.GetName(): d}})
		_, _ = s.Find(t.Context(), "a.M")
		files, err := s.Files()
		if err != nil {
			return
		}
		for _, fd := range files {
			_, _ = schema.Text(fd)
		}
	})
}
