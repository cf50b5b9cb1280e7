package resilience_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// The cost of an interceptor is the difference to "none".
func BenchmarkServer(b *testing.B) {
	for _, c := range []struct {
		name string
		link []connectum.Interceptor
	}{
		{"none", nil},
		{"bulkhead", []connectum.Interceptor{resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50}).Interceptor()}},
		{"bulkhead by header", []connectum.Interceptor{resilience.NewBulkhead(
			resilience.BulkheadConfig{Capacity: 100, Queue: 50, Key: resilience.ByHeader("Tenant")}).Interceptor()}},
		{"limiter", []connectum.Interceptor{resilience.NewLimiter(resilience.LimiterConfig{}).Interceptor()}},
		{"rate limit", []connectum.Interceptor{resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1e9}).Interceptor()}},
		{"rate limit by peer", []connectum.Interceptor{resilience.NewRateLimit(
			resilience.RateLimitConfig{Calls: 1e9, Key: resilience.ByPeer}).Interceptor()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := testv1connect.NewTestServiceClient(connectumtest.Client(b, server(nil, c.link...)))
			req := &testv1.GetRequest{Text: "a"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Get(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, refused := range []bool{false, true} {
		name := "refused by rate limit"
		if !refused {
			name = "an error of the handler"
		}
		b.Run(name, func(b *testing.B) {
			step := func(context.Context) error { return connect.NewError(connect.CodeResourceExhausted, "full") }
			var link []connectum.Interceptor
			if refused {
				link = append(link, resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1, Per: 1000 * time.Hour}).Interceptor())
			}
			client := testv1connect.NewTestServiceClient(connectumtest.Client(b, server(step, link...)))
			req := &testv1.GetRequest{Text: "a"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Get(b.Context(), req); err == nil {
					b.Fatal("no error")
				}
			}
		})
	}
}

// One operation is a message there and one back on one stream.
func BenchmarkServerStream(b *testing.B) {
	for _, c := range []struct {
		name string
		link []connectum.Interceptor
	}{
		{"none", nil},
		{"stream limits", []connectum.Interceptor{resilience.StreamLimits{Idle: time.Minute, Total: time.Hour}.Interceptor()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			stream, err := testv1connect.NewTestServiceClient(connectumtest.Client(b, server(nil, c.link...))).Chat(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			req := &testv1.ChatRequest{Text: "a"}
			b.ReportAllocs()
			for b.Loop() {
				if err := stream.Send(req); err != nil {
					b.Fatal(err)
				}
				if _, err := stream.Receive(); err != nil {
					b.Fatal(err)
				}
			}
			_ = stream.Close()
		})
	}
}

func BenchmarkMethodTimeout(b *testing.B) {
	for _, c := range []struct {
		name string
		link []connectum.Interceptor
	}{
		{"none", nil},
		{"method timeout", []connectum.Interceptor{resilience.MethodTimeout(timeoutOption)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			service := slowService(b, func(_ connect.StreamType, options *descriptorpb.MethodOptions) {
				proto.SetExtension(options, timeoutOption, durationpb.New(5*time.Second))
			})
			srv := connectum.New(connectum.Config{Logger: quietly, Interceptors: c.link})
			connectumtest.Script{"*": func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
				if err := stream.Receive(new(wrapperspb.StringValue)); err != nil {
					return err
				}
				return stream.Send(wrapperspb.String("a"))
			}}.Register(srv.RPC(), service)
			client := connectumtest.Client(b, srv)
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(b.Context(), client, service.Methods().Get(0), connect.StreamTypeUnary); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClient(b *testing.B) {
	breaker := func() *resilience.Breaker { return resilience.NewBreaker(resilience.BreakerConfig{Logger: quietly}) }
	for _, c := range []struct {
		name string
		link []connect.ClientInterceptor
	}{
		{"none", nil},
		{"fallback", []connect.ClientInterceptor{resilience.Fallback(resilience.FallbackFor(service+"Get", cached, unavailable))}},
		{"breaker", []connect.ClientInterceptor{breaker().Interceptor("shop")}},
		{"retry", []connect.ClientInterceptor{resilience.NewRetry(resilience.RetryConfig{}).Interceptor()}},
		{"hedge", []connect.ClientInterceptor{resilience.NewHedge(resilience.HedgeConfig{Delay: time.Second}).Interceptor()}},
		{"attempt timeout", []connect.ClientInterceptor{resilience.AttemptTimeout(time.Second)}},
		{"all five", everything(breaker())},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := testv1connect.NewTestServiceClient(connect.NewClient(server(nil).Transport(), c.link...))
			req := &testv1.GetRequest{Text: "a"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Get(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
