package resilience_test

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/resilience"
)

// A server that takes ten calls a minute, three at once.
func Example() {
	rate := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 10, Per: time.Minute, Burst: 3})
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rate.Interceptor()}})
	srv.AddMetrics(rate.Metrics)
	testservice.Service{}.Register(srv.RPC())

	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	for range 4 {
		res, err := client.Echo(context.Background(), &testv1.EchoRequest{Text: "hello"})
		if info, told := connectumtest.Detail[*errdetails.RetryInfo](err); told {
			fmt.Println(err, "- in about", info.GetRetryDelay().AsDuration().Round(time.Second))
			continue
		}
		fmt.Println(res.GetText())
	}
	// Output:
	// hello
	// hello
	// hello
	// resource_exhausted: the limit of 10 calls in 1m0s is reached - in about 6s
}

// A client that repeats what fails for want of a server, stops when that does not
// help, and answers from a cache meanwhile.
func Example_client() {
	target := connectum.New(connectum.Config{}) // what is called, in another process
	testservice.Service{OnGet: func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
		return nil, connect.NewError(connect.CodeUnavailable, "down for maintenance")
	}}.Register(target.RPC())

	breaker := resilience.NewBreaker(resilience.BreakerConfig{Failures: 2, OnChange: func(s resilience.BreakerState) {
		fmt.Println(s.Procedure, "of", s.Target, "is", s.State)
	}, Logger: quietly})
	retry := resilience.NewRetry(resilience.RetryConfig{Delay: time.Millisecond})
	client := testv1connect.NewTestServiceClient(connect.NewClient(target.Transport(),
		resilience.Fallback(resilience.FallbackFor("/connectum.test.v1.TestService/Get",
			func(_ context.Context, _ *testv1.GetRequest, err error) (*testv1.GetResponse, error) {
				return &testv1.GetResponse{Text: "from the cache, as " + connect.CodeOf(err).String()}, nil
			}, connect.CodeUnavailable)),
		breaker.Interceptor("shop"),
		retry.Interceptor(),
		resilience.AttemptTimeout(time.Second),
	))
	for range 3 {
		res, err := client.Get(context.Background(), &testv1.GetRequest{})
		fmt.Println(res.GetText(), err)
	}
	// Output:
	// from the cache, as unavailable <nil>
	// /connectum.test.v1.TestService/Get of shop is open
	// from the cache, as unavailable <nil>
	// from the cache, as unavailable <nil>
}

func ExampleBulkhead() {
	bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50})
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{bulkhead.Interceptor()}})
	srv.AddMetrics(bulkhead.Metrics)
	testservice.Service{}.Register(srv.RPC())
	fmt.Println(srv.Chain("/connectum.test.v1.TestService/Echo"), bulkhead)
	// Output: [guard bulkhead] capacity 100, queue 50
}
