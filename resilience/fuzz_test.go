package resilience_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/resilience"
)

// Whatever a peer sends with an error, a client that retries comes back no
// sooner than it was told and no later than after a minute and a tenth, or not
// at all.
func FuzzPushback(f *testing.F) {
	raw := func(seconds int64, nanos int32) []byte {
		out, err := proto.Marshal(&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: seconds, Nanos: nanos}})
		if err != nil {
			f.Fatal(err)
		}
		return out
	}
	f.Add("google.rpc.RetryInfo", raw(1, 0), "", false)
	f.Add("google.rpc.RetryInfo", raw(-1, -5), "5", true)
	f.Add("google.rpc.RetryInfo", raw(1<<62, 1<<30), "-1", true)
	f.Add("google.rpc.RetryInfo", raw(59, 999_999_999), "60000", true)
	f.Add("google.rpc.RetryInfo", []byte{0x0a, 0xff}, "1e9", true)
	f.Add("google.rpc.ErrorInfo", raw(1, 0), "9223372036854775808", true)
	f.Add("", []byte(nil), "\xff\x00, 5", true)
	f.Fuzz(func(t *testing.T, name string, value []byte, trailer string, told bool) {
		synctest.Test(t, func(t *testing.T) {
			var came []time.Time
			around := resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 2}).Interceptor()(
				func(ctx context.Context, _ connect.Spec) (connect.ClientStream, error) {
					came = append(came, time.Now())
					info, _ := connect.CallInfoForClientContext(ctx)
					if told {
						info.ResponseTrailer().Set("grpc-retry-pushback-ms", trailer)
					}
					return nil, connect.NewError(connect.CodeUnavailable, "busy").WithDetail(&connect.ErrorDetail{Type: name, Value: value})
				})
			stream, err := around(t.Context(), connect.Spec{Procedure: service + "Get", IdempotencyLevel: connect.IdempotencyNoSideEffects})
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(new(testv1.GetRequest))
			connectumtest.WantError(t, stream.Receive(new(testv1.GetResponse)), connect.CodeUnavailable, connectumtest.Containing("busy"))
			if len(came) == 1 {
				return // asked not to, or for more than a minute
			}
			wait := came[1].Sub(came[0])
			if len(came) != 2 || wait < 0 || wait > 66*time.Second {
				t.Fatalf("%d attempts, the second after %v", len(came), wait)
			}
			var info errdetails.RetryInfo
			if name == "google.rpc.RetryInfo" && proto.Unmarshal(value, &info) == nil && wait < info.GetRetryDelay().AsDuration() {
				t.Errorf("came back after %v, asked for %v", wait, info.GetRetryDelay().AsDuration())
			}
		})
	})
}

// Whatever keys strangers send, no more of them are remembered than MaxKeys, no
// key gets more than its rate, and nothing of a bulkhead is left behind.
func FuzzKeys(f *testing.F) {
	f.Add("a b a c a", uint8(1), uint8(1))
	f.Add("a b c d e f g a", uint8(2), uint8(2))
	f.Add(strings.Repeat("x", 10_000)+" "+strings.Repeat("x", 9_999), uint8(1), uint8(3))
	f.Add("\x00 \xff  ", uint8(0), uint8(0))
	f.Add("192.0.2.1:1 192.0.2.1:2 [2001:db8::1]:1 [2001:db8::2]:2 [fe80::1%0]:1 [::ffff:1.2.3.4]:5 :1 [", uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, text string, maxKeys, burst uint8) {
		keys := strings.Split(text, " ")
		most, each := int(maxKeys)+1, int(burst)+1
		synctest.Test(t, func(t *testing.T) {
			rate := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1, Per: time.Hour, Burst: each, MaxKeys: most, Key: resilience.ByPeer})
			bulk := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 1, Key: resilience.ByHeader("Key")})
			srv := server(nil)
			srv.AddMetrics(rate.Metrics)
			srv.AddMetrics(bulk.Metrics)
			chain := connect.NewServer(bound(t, rate.Interceptor().Bind), bound(t, bulk.Interceptor().Bind))
			chain.Register(connect.Method{Spec: connect.Spec{Procedure: "/a.B/C"}, Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil }})
			served := map[string]int{}
			all := 0
			for _, key := range keys {
				info := &connect.CallInfo{PeerAddr: key}
				info.RequestHeader().Set("Key", key)
				if chain.Call(t.Context(), "/a.B/C", info, &connectumtest.ServerStream{}) == nil {
					served[key]++
					all++
				}
			}
			for key, n := range served {
				if n > each {
					t.Errorf("%q was served %d times, its burst is %d", key, n, each)
				}
			}
			if all > (most+1)*each { // those with rates of their own, and the rest together
				t.Errorf("%d served", all)
			}
			m := metrics(srv)
			if m["connectum_ratelimit_keys"] > float64(most) || m["connectum_bulkhead_running"]+m["connectum_bulkhead_waiting"]+m["connectum_bulkhead_refused_total"] != 0 {
				t.Error(m)
			}
		})
	})
}

// bound binds one interceptor.
func bound(t *testing.T, bind func(connect.Spec) (connect.ServerInterceptor, error)) connect.ServerInterceptor {
	t.Helper()
	i, err := bind(connect.Spec{Procedure: "/a.B/C"})
	if err != nil {
		t.Fatal(err)
	}
	return i
}
