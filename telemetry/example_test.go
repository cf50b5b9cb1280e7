package telemetry_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

func Example() {
	ctx := context.Background()
	out := new(strings.Builder)
	tel, err := telemetry.Start(ctx, telemetry.Config{ServiceName: "shop", Traces: telemetry.Console, Output: out})
	if err != nil {
		log.Fatal(err)
	}
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{tel.Server()}})
	testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		err := telemetry.Span(ctx, "look up", func(context.Context) error { return nil })
		return &testv1.EchoResponse{Text: req.GetText()}, err
	}}.Register(srv.RPC())

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport(), tel.Client()))
	if _, err := client.Echo(ctx, &testv1.EchoRequest{Text: "tea"}); err != nil {
		log.Fatal(err)
	}
	_ = tel.Shutdown(ctx) // writes what is left
	for _, span := range []string{"look up", "connectum.test.v1.TestService/Echo"} {
		fmt.Println(span, strings.Count(out.String(), `"Name":"`+span+`"`))
	}
	// Output:
	// look up 1
	// connectum.test.v1.TestService/Echo 2
}
