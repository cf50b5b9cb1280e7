package connectumtest_test

import (
	"context"
	"fmt"
	"os"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A service that fails once, then answers: what a client that retries meets.
func ExampleScript() {
	srv := connectum.New(connectum.Config{})
	connectumtest.Script{
		"Echo": connectumtest.Steps(
			connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "warming up")),
			connectumtest.Answer(&testv1.EchoResponse{Text: "hello"}),
		),
	}.Register(srv.RPC(), testv1.File_connectum_test_v1_test_proto.Services().ByName("TestService"))

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	for range 2 {
		res, err := client.Echo(context.Background(), new(testv1.EchoRequest))
		fmt.Println(res.GetText(), err)
	}
	// Output:
	// unavailable: warming up
	// hello <nil>
}

// A mock server from a schema alone: its answers are valid and the same in each
// run.
func ExampleFakeService() {
	srv := connectum.New(connectum.Config{})
	connectumtest.FakeService(srv, testv1.File_connectum_test_v1_test_proto.Services().ByName("TestService"))

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	res, err := client.Get(context.Background(), new(testv1.GetRequest))
	fmt.Println(res.GetText() != "", err)
	// Output: true <nil>
}

// Faults in front of a real service: here every call of one method fails.
func ExampleFault() {
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{
		connectumtest.Fault("connectum.test.v1.TestService/Echo", 1, connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "down"))),
	}})
	testservice.Service{}.Register(srv.RPC())

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	_, err := client.Echo(context.Background(), new(testv1.EchoRequest))
	fmt.Println(err)
	res, err := client.Get(context.Background(), &testv1.GetRequest{Text: "fine"})
	fmt.Println(res.GetText(), err)
	// Output:
	// unavailable: down
	// fine <nil>
}

// What a recording looks like.
func ExampleRecording() {
	var rec connectumtest.Recording
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rec.Interceptor()}})
	testservice.Service{}.Register(srv.RPC())

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	_, _ = client.Get(context.Background(), &testv1.GetRequest{Text: "hello"})
	_, _ = rec.WriteTo(os.Stdout)
	// Output:
	// [
	//   {
	//     "procedure": "/connectum.test.v1.TestService/Get",
	//     "requests": [
	//       {
	//         "text": "hello"
	//       }
	//     ],
	//     "responses": [
	//       {
	//         "text": "hello"
	//       }
	//     ]
	//   }
	// ]
}
