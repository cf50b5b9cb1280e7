package reflection_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const (
	served  = "connectum.test.v1.TestService"
	sibling = "connectum.test.v1.EmptyService" // of the same file, not mounted
	v1      = "grpc.reflection.v1.ServerReflection"
	v1alpha = "grpc.reflection.v1alpha.ServerReflection"
)

func quiet() connectum.Config {
	return connectum.Config{Logger: slog.New(slog.DiscardHandler)}
}

// file makes a file that imports others, with a message M that has a field of
// each import's M, and an optional service S with a method Call.
func file(t testing.TB, path, pkg string, service bool, imports ...protoreflect.FileDescriptor) protoreflect.FileDescriptor {
	t.Helper()
	fd := &descriptorpb.FileDescriptorProto{
		Name: proto.String(path), Package: proto.String(pkg), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
	}
	known := resolver{}
	for i, in := range imports {
		known.add(in)
		fd.Dependency = append(fd.Dependency, in.Path())
		fd.MessageType[0].Field = append(fd.MessageType[0].Field, &descriptorpb.FieldDescriptorProto{
			Name: proto.String("f" + string(rune('a'+i))), Number: proto.Int32(int32(i + 1)),
			Label:    descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type:     descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
			TypeName: proto.String("." + string(in.Package()) + ".M"),
		})
	}
	// A message that holds itself.
	fd.MessageType[0].Field = append(fd.MessageType[0].Field, &descriptorpb.FieldDescriptorProto{
		Name: proto.String("self"), Number: proto.Int32(100), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String("." + pkg + ".M"),
	})
	if service {
		fd.Service = []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Call"), InputType: proto.String("." + pkg + ".M"), OutputType: proto.String("." + pkg + ".M"),
		}}}}
	}
	out, err := protodesc.NewFile(fd, known)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// resolver finds the files that were added, and theirs.
type resolver map[string]protoreflect.FileDescriptor

func (r resolver) add(fd protoreflect.FileDescriptor) {
	r[fd.Path()] = fd
	for i := range fd.Imports().Len() {
		r.add(fd.Imports().Get(i).FileDescriptor)
	}
}

func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return r[path], nil
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	for _, fd := range r {
		if fd.Package() == name.Parent() {
			if m := fd.Messages().ByName(name.Name()); m != nil {
				return m, nil
			}
		}
	}
	return nil, io.EOF
}

// mount registers the service S of fd.
func mount(server *connect.Server, fd protoreflect.FileDescriptor) {
	m := fd.Services().ByName("S").Methods().ByName("Call")
	server.Register(connect.Method{
		Spec:    connect.Spec{Procedure: "/" + string(m.Parent().FullName()) + "/Call", Schema: m},
		Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil },
	})
}

func paths(files []*descriptorpb.FileDescriptorProto) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.GetName())
	}
	return out
}

func equal[E comparable](t testing.TB, what string, got, want []E) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// withExtension makes a file with two extensions, one of them nested, and a
// service beside S.
func withExtension(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	ext := func(name string, number int32) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), Extendee: proto.String(".ext.v1.M"),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(),
		}
	}
	service := func(name string) *descriptorpb.ServiceDescriptorProto {
		return &descriptorpb.ServiceDescriptorProto{Name: proto.String(name), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Call"), InputType: proto.String(".ext.v1.M"), OutputType: proto.String(".ext.v1.M"),
		}}}
	}
	out, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("ext.proto"), Package: proto.String("ext.v1"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("M"), ExtensionRange: []*descriptorpb.DescriptorProto_ExtensionRange{{Start: proto.Int32(1000), End: proto.Int32(2000)}}},
			{Name: proto.String("N"), Extension: []*descriptorpb.FieldDescriptorProto{ext("nested", 1001)}},
		},
		Extension: []*descriptorpb.FieldDescriptorProto{ext("outer", 1000)},
		Service:   []*descriptorpb.ServiceDescriptorProto{service("S"), service("Hidden")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
