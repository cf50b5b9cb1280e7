package reflection_test

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

func Example() {
	srv := connectum.New(connectum.Config{})
	reflection.Register(srv)
	testservice.Service{}.Register(srv.RPC()) // of a proto file with a second service

	client := connect.NewClient(srv.Transport())
	stream := grpcreflect.NewClient(client).NewStream(context.Background())
	defer stream.Close()
	services, err := stream.ListServices()
	if err != nil {
		fmt.Println(err)
	}
	for _, name := range services {
		fmt.Println(name)
	}
	// Output:
	// connectum.test.v1.TestService
	// grpc.reflection.v1.ServerReflection
	// grpc.reflection.v1alpha.ServerReflection
}

// Production tells of what its users may call, and nothing else.
func ExampleWithServices() {
	srv := connectum.New(connectum.Config{})
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv, reflection.WithServices("connectum.test.v1.TestService"))

	client := connect.NewClient(srv.Transport())
	stream := grpcreflect.NewClient(client).NewStream(context.Background())
	defer stream.Close()
	fmt.Println(stream.ListServices())
	// Output:
	// [connectum.test.v1.TestService] <nil>
}
