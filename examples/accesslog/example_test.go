package accesslog_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/examples/accesslog"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/interceptor"
)

// What docs/logs.md shows of a program.
func Example() {
	lines := accesslog.Buffer(os.Stderr, 100*time.Millisecond)
	access := slog.New(accesslog.Urgent(slog.NewJSONHandler(lines, nil), lines.Sync))

	srv := connectum.New(connectum.Config{
		Logger: slog.New(slog.DiscardHandler),
		Interceptors: interceptor.Defaults(interceptor.Config{
			Log: &interceptor.LogConfig{Logger: access},
		}),
	})
	srv.OnShutdown("access log", lines.Stop) // add the names of hooks that make calls in-process

	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(srv.Transport()))
	ctx := context.Background()
	res, err := client.SayHello(ctx, &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.GetMessage())
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: Hello, Ada!
}
