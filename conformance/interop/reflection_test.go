package interop_test

import (
	"testing"

	"google.golang.org/grpc"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

func reflecting(srv *connectum.Server) {
	testservice.Service{}.Register(srv.RPC())
	health.Register(srv)
	reflection.Register(srv)
}

// Behaviours 117 and 120: what is mounted is listed, in both versions.
func TestGRPCGoListsServices(t *testing.T) {
	t.Parallel()
	conn := serve(t, connectum.Config{}, nil, reflecting)
	want := []string{"connectum.test.v1.TestService", "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}

	v1, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	res := ask(t, v1, &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	var got []string
	for _, s := range res.GetListServicesResponse().GetService() {
		got = append(got, s.GetName())
	}
	connectumtest.Want(t, got, want)

	alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := alpha.Send(&reflectionv1alpha.ServerReflectionRequest{MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{}}); err != nil { //nolint:staticcheck // clients that are old speak it
		t.Fatal(err)
	}
	old, err := alpha.Recv()
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, s := range old.GetListServicesResponse().GetService() { //nolint:staticcheck // the same
		got = append(got, s.GetName()) //nolint:staticcheck // the same
	}
	connectumtest.Want(t, got, want)
}

// A call is made with nothing but what reflection told, as grpcurl does.
func TestGRPCGoCallsByReflectionAlone(t *testing.T) {
	t.Parallel()
	conn := serve(t, connectum.Config{}, nil, reflecting)
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	res := ask(t, stream, &reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: testService},
	})
	set := new(descriptorpb.FileDescriptorSet)
	for _, raw := range res.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(raw, file); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	found, err := files.FindDescriptorByName(testService + ".Echo")
	if err != nil {
		t.Fatal(err)
	}
	method := found.(protoreflect.MethodDescriptor)
	req, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	req.Set(method.Input().Fields().ByName("text"), protoreflect.ValueOfString("by reflection"))
	if err := conn.Invoke(t.Context(), grpcclient.Echo, req, answer); err != nil {
		t.Fatal(err)
	}
	if got := answer.Get(method.Output().Fields().ByName("text")).String(); got != "by reflection" {
		t.Errorf("answered %q", got)
	}

	// What is not mounted stays hidden, on a stream that goes on.
	res = ask(t, stream, &reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "connectum.test.v1.EmptyService"},
	})
	if res.GetErrorResponse().GetErrorCode() != 5 {
		t.Errorf("a service that is not mounted: %v", res)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, s grpc.BidiStreamingClient[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse],
	req *reflectionv1.ServerReflectionRequest,
) *reflectionv1.ServerReflectionResponse {
	t.Helper()
	if err := s.Send(req); err != nil {
		t.Fatal(err)
	}
	res, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return res
}
