package plugin_test

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/examples/plugin"
)

func Example() {
	counter := new(plugin.Counter)
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{counter.Interceptor()}})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	counter.Register(srv)

	client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(srv.Transport()))
	for range 3 {
		if _, err := client.SayHello(context.Background(), &greeterv1.SayHelloRequest{Name: "Ada"}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(srv.Chain("/greeter.v1.GreeterService/SayHello"))
	for m := range srv.Metrics() {
		if m.Name == "plugin_calls_total" && m.Value > 0 {
			fmt.Println(m.Name, m.Labels[0].Value, m.Value)
		}
	}
	// Output:
	// [guard counter]
	// plugin_calls_total /greeter.v1.GreeterService/SayHello 3
}
