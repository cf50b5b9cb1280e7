package interop_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
)

// A client that knows nothing but grpc-go asks a server for its health.
func Example() {
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	health.Register(srv)
	ready := make(chan net.Addr)
	srv.OnReady(func(_ context.Context, addr net.Addr) { ready <- addr })
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }()

	conn, err := grpc.NewClient((<-ready).String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	fmt.Println(res.GetStatus(), err)
	_ = conn.Close()
	stop()
	fmt.Println(<-ended)
	// Output:
	// SERVING <nil>
	// <nil>
}
