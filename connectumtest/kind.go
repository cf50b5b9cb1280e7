package connectumtest

import (
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// EachKind runs f as a subtest for unary calls and each kind of stream.
func EachKind(t *testing.T, f func(t *testing.T, kind connect.StreamType)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) { f(t, kind) })
	}
}

var kinds = [...]connect.StreamType{connect.StreamTypeUnary, connect.StreamTypeClient, connect.StreamTypeServer, connect.StreamTypeBidi}

// kindMethod returns the method that stands for a kind: it takes and answers
// google.protobuf.StringValue. Its schema is registered nowhere.
func kindMethod(kind connect.StreamType) protoreflect.MethodDescriptor {
	return kindService().Methods().Get(int(kind))
}

var kindService = sync.OnceValue(func() protoreflect.ServiceDescriptor {
	text := "." + string((*wrapperspb.StringValue)(nil).ProtoReflect().Descriptor().FullName())
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("KindService")}
	for _, kind := range kinds { // the number of a kind is its index
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name:            proto.String([...]string{"Unary", "Client", "Server", "Bidi"}[kind]),
			InputType:       &text,
			OutputType:      &text,
			ClientStreaming: proto.Bool(kind&connect.StreamTypeClient != 0),
			ServerStreaming: proto.Bool(kind&connect.StreamTypeServer != 0),
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       proto.String("connectumtest/v1/kind.proto"),
		Package:    proto.String("connectumtest.v1"),
		Syntax:     proto.String("proto3"),
		Dependency: []string{wrapperspb.File_google_protobuf_wrappers_proto.Path()},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err) // the file never changes
	}
	return file.Services().Get(0)
})
