package resilience_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	shopv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/guide"
	"github.com/connectum-go/connectum/resilience"
)

// What docs/resilience.md shows is here.

// options is a generated package in the guide.
var options = struct{ E_Timeout protoreflect.ExtensionType }{timeoutOption}

func important(ctx context.Context, spec connect.Spec) resilience.Priority {
	if strings.HasPrefix(spec.Procedure, "/shop.v1.CheckoutService/") {
		return resilience.PriorityHigh
	}
	return resilience.PriorityNormal
}

func newServer() *connectum.Server {
	bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50, MaxWait: time.Second})
	rate := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 50, Burst: 100, Key: resilience.ByPeer})
	srv := connectum.New(connectum.Config{
		Interceptors: interceptor.Defaults(interceptor.Config{
			Bulkhead:      bulkhead,
			RateLimit:     rate,
			MethodTimeout: options.E_Timeout,
			StreamLimits:  resilience.StreamLimits{Idle: 5 * time.Minute, Total: 24 * time.Hour},
		}),
	})
	srv.AddMetrics(bulkhead.Metrics)
	srv.AddMetrics(rate.Metrics)
	return srv
}

func newLimiter() *resilience.Limiter {
	limiter := resilience.NewLimiter(resilience.LimiterConfig{Priority: important})
	return limiter
}

func newClient(transport connect.Transport, srv *connectum.Server, cache *catalog) *connect.Client {
	breaker := resilience.NewBreaker(resilience.BreakerConfig{})
	retry := resilience.NewRetry(resilience.RetryConfig{Name: "catalog"})
	client := connect.NewClient(transport, interceptor.ClientDefaults(interceptor.ClientConfig{
		Target: "catalog",
		Fallback: []resilience.FallbackRule{
			resilience.FallbackFor("/shop.v1.CatalogService/Get", cache.get, connect.CodeUnavailable, connect.CodeDeadlineExceeded),
		},
		Breaker:        breaker,
		Retry:          retry,
		Hedge:          resilience.NewHedge(resilience.HedgeConfig{Delay: 200 * time.Millisecond}),
		AttemptTimeout: time.Second,
	})...)
	srv.AddMetrics(breaker.Metrics)
	srv.AddMetrics(retry.Metrics)
	return client
}

type catalog struct{}

func (c *catalog) last(id string) (*shopv1.GetResponse, bool) {
	return &shopv1.GetResponse{Text: "the last " + id}, id != ""
}

// get is the last answer that is known; with none the error stays.
func (c *catalog) get(_ context.Context, req *shopv1.GetRequest, err error) (*shopv1.GetResponse, error) {
	if item, ok := c.last(req.GetText()); ok {
		return item, nil
	}
	return nil, err
}

func TestTheGuideRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, m := newServer(), new(mood)
		stepping(m.step).Register(srv.RPC())
		srv.RPC().Register(connect.Method{
			Spec: connect.Spec{Procedure: "/shop.v1.CatalogService/Get", IdempotencyLevel: connect.IdempotencyNoSideEffects},
			Handler: func(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
				if err := m.step(ctx); err != nil {
					return err
				}
				return stream.Send(&shopv1.GetResponse{Text: "the item"})
			},
		})
		client := newClient(srv.Transport(), srv, new(catalog))
		item := func(id string) (string, error) {
			res := new(shopv1.GetResponse)
			spec := connect.Spec{Procedure: "/shop.v1.CatalogService/Get", IdempotencyLevel: connect.IdempotencyNoSideEffects}
			err := client.CallUnary(t.Context(), spec, &shopv1.GetRequest{Text: id}, res)
			return res.GetText(), err
		}
		if got, err := item("1"); err != nil || got != "the item" {
			t.Error(got, err)
		}
		m.set(unavailable)
		if got, err := item("1"); err != nil || got != "the last 1" || m.calls.Load() != 4 {
			t.Errorf("%q, %v after %d attempts", got, err, m.calls.Load())
		}
		if _, err := item(""); connect.CodeOf(err) != unavailable {
			t.Error(err)
		}
		m.set(0)
		for range 200 { // 100 at once, the burst
			if err := call(t.Context(), client, connect.StreamTypeServer); err != nil {
				connectumtest.WantError(t, err, connect.CodeResourceExhausted)
				if _, told := connectumtest.Detail[*errdetails.RetryInfo](err); !told {
					t.Error("no RetryInfo")
				}
				break
			}
		}
		got := metrics(srv)
		for _, name := range []string{"connectum_ratelimit_refused_total", "connectum_retry_repetitions_total,name=catalog",
			"connectum_breaker_state,target=catalog,procedure=/shop.v1.CatalogService/Get", "connectum_bulkhead_running,procedure=/shop.v1.CatalogService/Get"} {
			if _, ok := got[name]; !ok {
				t.Errorf("no %s", name)
			}
		}
		if got["connectum_ratelimit_refused_total"] != 1 {
			t.Errorf("%v refused", got["connectum_ratelimit_refused_total"])
		}
	})
	if err := server(nil, newLimiter().Interceptor()).Check(); err != nil {
		t.Error(err)
	}
	if important(t.Context(), connect.Spec{Procedure: "/shop.v1.CheckoutService/Pay"}) != resilience.PriorityHigh ||
		important(t.Context(), connect.Spec{Procedure: "/shop.v1.CatalogService/Get"}) != resilience.PriorityNormal {
		t.Error("the priorities of the guide")
	}
}

func TestTheGuideShowsWhatRuns(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range guide.Load(t, "../docs/resilience.md") {
		if b.Lang == "go" {
			n++
		}
	}
	if n < 4 {
		t.Errorf("%d blocks of Go in the guide", n)
	}
	// What the guide says of metrics is what there is.
	page, err := os.ReadFile("../docs/resilience.md")
	if err != nil {
		t.Fatal(err)
	}
	srv := server(nil)
	srv.AddMetrics(resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Key: resilience.ByPeer}).Metrics)
	srv.AddMetrics(resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1}).Metrics)
	srv.AddMetrics(resilience.NewRetry(resilience.RetryConfig{}).Metrics)
	srv.AddMetrics(resilience.NewHedge(resilience.HedgeConfig{Delay: 1}).Metrics)
	breaker, limiter := resilience.NewBreaker(resilience.BreakerConfig{}), resilience.NewLimiter(resilience.LimiterConfig{})
	srv.AddMetrics(breaker.Metrics)
	srv.AddMetrics(limiter.Metrics)
	_ = connectumtest.CallClient(t, breaker.Interceptor("a"), connectumtest.Exchange{})
	_ = connectumtest.Call(t, limiter.Interceptor(), connectumtest.Exchange{})
	ours := 0
	for m := range srv.Metrics() {
		for _, family := range []string{"bulkhead", "limiter", "ratelimit", "breaker", "retry", "hedge"} {
			if !strings.HasPrefix(m.Name, "connectum_"+family+"_") {
				continue
			}
			ours++
			if !strings.Contains(string(page), "`"+m.Name+"`") {
				t.Errorf("the guide does not know %s", m.Name)
			}
			if m.Help == "" || m.Counter != strings.HasSuffix(m.Name, "_total") {
				t.Errorf("%+v", m)
			}
		}
	}
	if ours != 18 {
		t.Errorf("%d metrics", ours)
	}
}
