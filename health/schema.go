package health

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	healthv1 "github.com/connectum-go/connectum/internal/gen/connectum/health/v1"
)

const serviceName = "grpc.health.v1.Health"

// public is the service as the world knows it. Our generated code is in a proto
// package of our own, since two of one name in a binary, ours and grpc-go's,
// panic at its start; this file is registered nowhere, so it collides with none.
var public = sync.OnceValue(func() protoreflect.ServiceDescriptor {
	file := protodesc.ToFileDescriptorProto(healthv1.File_connectum_health_v1_health_proto)
	private := "." + file.GetPackage() + "."
	rename := func(name *string) {
		if name != nil {
			*name = strings.Replace(*name, private, ".grpc.health.v1.", 1)
		}
	}
	name, pkg := "grpc/health/v1/health.proto", "grpc.health.v1"
	file.Name, file.Package, file.Options = &name, &pkg, nil
	for _, s := range file.GetService() {
		for _, m := range s.GetMethod() {
			rename(m.InputType)
			rename(m.OutputType)
		}
	}
	var messages func(list []*descriptorpb.DescriptorProto)
	messages = func(list []*descriptorpb.DescriptorProto) {
		for _, m := range list {
			for _, f := range m.GetField() {
				rename(f.TypeName)
			}
			messages(m.GetNestedType())
		}
	}
	messages(file.GetMessageType())
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic("health: " + err.Error()) // the generated code is broken
	}
	return fd.Services().ByName("Health")
})

// schema is the public descriptor of a method.
func schema(method string) protoreflect.MethodDescriptor {
	return public().Methods().ByName(protoreflect.Name(method))
}
