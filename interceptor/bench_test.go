package interceptor_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/validate"
)

// One link of a server at a time, around an in-process unary call.
func BenchmarkServer(b *testing.B) {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	debug := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	off := interceptor.Config{WithoutErrors: true, WithoutValidation: true, Logger: log}
	with := func(set func(*interceptor.Config)) []connectum.Interceptor {
		cfg := off
		set(&cfg)
		return interceptor.Defaults(cfg)
	}
	for _, c := range []struct {
		name  string
		chain []connectum.Interceptor
	}{
		{"none", nil},
		{"errors", with(func(c *interceptor.Config) { c.WithoutErrors = false })},
		{"validate, valid", with(func(c *interceptor.Config) { c.WithoutValidation = false })},
		{"validate, responses too", with(func(c *interceptor.Config) { c.WithoutValidation, c.Validation.Responses = false, true })},
		{"log", with(func(c *interceptor.Config) { c.Log = &interceptor.LogConfig{} })},
		{"log, messages", with(func(c *interceptor.Config) { c.Log = &interceptor.LogConfig{Messages: true, Logger: debug} })},
		{"limiter", with(func(c *interceptor.Config) { c.Limiter = resilience.NewLimiter(resilience.LimiterConfig{}) })},
		{"bulkhead", with(func(c *interceptor.Config) {
			c.Bulkhead = resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 10})
		})},
		{"rate limit", with(func(c *interceptor.Config) {
			c.RateLimit = resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1_000_000_000})
		})},
		{"stream limits", with(func(c *interceptor.Config) { c.StreamLimits = resilience.StreamLimits{Idle: time.Hour} })},
		{"default", interceptor.Defaults(interceptor.Config{})},
		{"default and log", interceptor.Defaults(interceptor.Config{Logger: log, Log: &interceptor.LogConfig{}})},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := bareClient(b, c.chain...)
			req := &rulesv1.PutRequest{Name: "Ada", Count: 1}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Put(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The default chain around a call whose messages have no rules.
func BenchmarkWithoutRules(b *testing.B) {
	for _, c := range []struct {
		name  string
		chain []connectum.Interceptor
	}{{"none", nil}, {"default", interceptor.Defaults(interceptor.Config{})}} {
		b.Run(c.name, func(b *testing.B) {
			client := bareClient(b, c.chain...)
			req := &rulesv1.PlainRequest{Text: "Ada"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Plain(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The path of a failure: an error masked by the guard alone, and by the chain.
func BenchmarkFailure(b *testing.B) {
	for name, chain := range map[string][]connectum.Interceptor{
		"guard":  nil,
		"errors": interceptor.Defaults(interceptor.Config{Logger: slog.New(slog.DiscardHandler)}),
	} {
		b.Run(name, func(b *testing.B) {
			srv := connectum.New(connectum.Config{Interceptors: chain, Logger: slog.New(slog.DiscardHandler)})
			srv.RPC().Register(connect.Method{Spec: specOf(method("Put")), Handler: func(context.Context, connect.Spec, connect.ServerStream) error {
				return io.ErrUnexpectedEOF
			}})
			client := connect.NewClient(srv.Transport())
			b.ReportAllocs()
			for b.Loop() {
				_ = client.CallUnary(b.Context(), specOf(method("Put")), &rulesv1.PutRequest{}, new(rulesv1.PutResponse))
			}
		})
	}
}

// One link of a client at a time.
func BenchmarkClient(b *testing.B) {
	unsafe := func(connect.Spec) bool { return true }
	for _, c := range []struct {
		name string
		cfg  interceptor.ClientConfig
	}{
		{"none", interceptor.ClientConfig{}},
		{"propagate", interceptor.ClientConfig{Propagate: []string{"traceparent", "tracestate"}}},
		{"validate", interceptor.ClientConfig{Validation: &validate.Config{}}},
		{"breaker", interceptor.ClientConfig{Target: "x", Breaker: resilience.NewBreaker(resilience.BreakerConfig{})}},
		{"retry", interceptor.ClientConfig{Retry: resilience.NewRetry(resilience.RetryConfig{Unsafe: unsafe})}},
		{"attempt timeout", interceptor.ClientConfig{AttemptTimeout: time.Minute}},
	} {
		b.Run(c.name, func(b *testing.B) {
			srv := connectum.New(connectum.Config{})
			rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), bare{})
			client := rulestestv1connect.NewRuleServiceClient(connect.NewClient(srv.Transport(), interceptor.ClientDefaults(c.cfg)...))
			req := &rulesv1.PutRequest{Name: "Ada"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Put(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a link costs that does nothing but to stand there: what there is to gain
// by joining links.
func BenchmarkLinks(b *testing.B) {
	idle := connectum.Wrap("idle", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
			returned := false
			defer func() {
				if !returned {
					err = io.ErrUnexpectedEOF
				}
			}()
			err = next(ctx, spec, stream)
			returned = true
			return err
		}
	})
	for _, n := range []int{0, 5, 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			client := bareClient(b, slices.Repeat([]connectum.Interceptor{idle}, n)...)
			req := &rulesv1.PutRequest{Name: "Ada", Count: 1}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Put(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
