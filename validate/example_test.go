package validate_test

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/validate"
)

// A request that breaks a rule of its schema does not reach the handler.
func Example() {
	srv := connectum.New(connectum.Config{
		Interceptors: []connectum.Interceptor{validate.New(validate.Config{})},
	})
	rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), service{})

	client := rulestestv1connect.NewRuleServiceClient(connect.NewClient(srv.Transport()))
	_, err := client.Put(context.Background(), &rulesv1.PutRequest{Name: ""})
	fmt.Println(err)
	// Output: invalid_argument: invalid request: name: must be at least 1 characters [string.min_len]
}

// A client that does not send what its server would refuse.
func ExampleNewClient() {
	srv := connectum.New(connectum.Config{})
	rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), service{})

	client := rulestestv1connect.NewRuleServiceClient(connect.NewClient(srv.Transport(), validate.NewClient(validate.Config{})))
	_, err := client.Put(context.Background(), &rulesv1.PutRequest{Name: "Ada", Count: 5000})
	fmt.Println(err)
	// Output: invalid_argument: invalid request: count: must be less than or equal to 1000 [int32.lte]
}
