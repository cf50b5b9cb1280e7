package grpcnative_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A service is registered as always; gRPC connections are then served by
// grpc-go's transport.
func Example() {
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		return &testv1.GetResponse{Text: "by door " + string(connectum.DoorOf(ctx))}, nil
	}}.Register(srv.RPC())
	grpcnative.Register(srv, grpcnative.Config{})

	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	srv.OnReady(func(context.Context, net.Addr) { close(ready) })
	go func() { done <- srv.Run(ctx) }()
	<-ready

	transport, err := grpcnative.Door().Open(ctx, srv)
	if err != nil {
		fmt.Println(err)
	}
	res, err := testv1connect.NewTestServiceClient(connect.NewClient(transport)).Get(ctx, &testv1.GetRequest{})
	fmt.Println(res.GetText(), err)
	stop()
	fmt.Println(<-done)
	// Output:
	// by door grpc <nil>
	// <nil>
}

// gRPC has a port of its own here, and the server's own port is as it was.
func ExampleConfig() {
	srv := connectum.New(connectum.Config{Addr: ":5000"})
	grpcnative.Register(srv, grpcnative.Config{Addr: ":50051"})
	fmt.Println(srv.Check())
	// Output: <nil>
}
