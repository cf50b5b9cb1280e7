package resilience_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/resilience"
)

// rated makes a server behind a rate limit.
func rated(cfg resilience.RateLimitConfig) func() (*connectum.Server, *resilience.RateLimit) {
	return func() (*connectum.Server, *resilience.RateLimit) {
		r := resilience.NewRateLimit(cfg)
		srv := server(nil, r.Interceptor())
		srv.AddMetrics(r.Metrics)
		return srv, r
	}
}

func TestRateLimitTellsWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, rated(resilience.RateLimitConfig{Calls: 10, Per: time.Second, Burst: 3}), func(t *testing.T, d doorway, _ *resilience.RateLimit) {
				if !d.has(kind) {
					return
				}
				client := d.client()
				for range 3 {
					if err := call(t.Context(), client, kind); err != nil {
						t.Fatal(err)
					}
				}
				err := call(t.Context(), client, kind)
				connectumtest.WantError(t, err, connect.CodeResourceExhausted, connectumtest.Containing("limit of 10 calls in 1s"))
				info, told := connectumtest.Detail[*errdetails.RetryInfo](err)
				wait := info.GetRetryDelay().AsDuration()
				if !told || wait <= 0 || wait > 100*time.Millisecond {
					t.Fatalf("told to wait %v", info)
				}
				if err := get(t.Context(), client); err != nil {
					t.Errorf("another procedure: %v", err)
				}
				time.Sleep(wait - time.Nanosecond)
				if call(t.Context(), client, kind) == nil {
					t.Error("there was room before the time that was told")
				}
				time.Sleep(time.Nanosecond)
				if err := call(t.Context(), client, kind); err != nil {
					t.Errorf("after the time that was told: %v", err)
				}
				if m := metrics(d.srv); m["connectum_ratelimit_refused_total"] != 2 {
					t.Error(m)
				}
			})
		})
	}
}

// Over a long time the rate holds to the call, however it is used.
func TestRateLimitHoldsTheRate(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{time.Millisecond, 7 * time.Millisecond, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			around := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 50, Burst: 10}).Interceptor()
			served, made := 0, 0
			for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(pause) {
				made++
				if connectumtest.Call(t, around, connectumtest.Exchange{}).Err == nil {
					served++
				}
			}
			if want := min(made, 50*60+10); served < want-1 || served > want {
				t.Errorf("%d of %d served in a minute, want %d", served, made, want)
			}
		})
	}
}

func TestRateLimitKeepsKeysApart(t *testing.T) {
	t.Parallel()
	eachDoor(t, rated(resilience.RateLimitConfig{Calls: 1, Per: time.Hour, Key: resilience.ByHeader("Tenant")}),
		func(t *testing.T, d doorway, _ *resilience.RateLimit) {
			client := d.client()
			as := func(tenant string, kind connect.StreamType) error {
				ctx, info := connect.NewClientContext(t.Context())
				info.RequestHeader().Set("Tenant", tenant)
				return call(ctx, client, kind)
			}
			for _, tenant := range []string{"a", "b", strings.Repeat("c", 1000)} {
				if err := as(tenant, connect.StreamTypeUnary); err != nil {
					t.Error(err)
				}
				connectumtest.WantError(t, as(tenant, connect.StreamTypeServer), connect.CodeResourceExhausted)
			}
			if m := metrics(d.srv); m["connectum_ratelimit_keys"] != 3 {
				t.Error(m)
			}
		})
}

// Keys are as many as MaxKeys allows, whatever strangers send.
func TestRateLimitBoundsTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := ""
		r := resilience.NewRateLimit(resilience.RateLimitConfig{
			Calls: 1, Per: time.Minute, MaxKeys: 100, Name: "strangers",
			Key: func(context.Context, connect.Spec) string { return key },
		})
		around := r.Interceptor()
		take := func(k string) error {
			key = k
			return connectumtest.Call(t, around, connectumtest.Exchange{}).Err
		}
		keys := func() float64 {
			srv := server(nil)
			srv.AddMetrics(r.Metrics)
			return metrics(srv)["connectum_ratelimit_keys,name=strangers"]
		}
		for i := range 100 {
			if err := take(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		// The others share one rate.
		if err := take("one more"); err != nil {
			t.Error(err)
		}
		for i := range 1000 {
			if take(fmt.Sprint("flood ", i)) == nil {
				t.Fatal("a key beyond MaxKeys has a rate of its own")
			}
		}
		if n := keys(); n != 100 {
			t.Errorf("%v keys", n)
		}
		// Who is known stays known: the flood costs it nothing.
		time.Sleep(time.Minute)
		if err := take("7"); err != nil {
			t.Error(err)
		}
		// What has been idle is forgotten for those that come: all but "7".
		for i := range 99 {
			if err := take(fmt.Sprint("new ", i)); err != nil {
				t.Fatal(i, err)
			}
		}
		if n := keys(); n != 100 {
			t.Errorf("%v keys", n)
		}
		connectumtest.WantError(t, take("7"), connect.CodeResourceExhausted)
	})
}

func TestByPeerTakesTheNetworkOfTheClient(t *testing.T) {
	t.Parallel()
	peers := map[string]string{
		"192.0.2.1:80":             "192.0.2.1",
		"192.0.2.1:81":             "192.0.2.1",
		"[::ffff:192.0.2.1]:9":     "192.0.2.1",
		"[2001:db8:1:2::3]:80":     "2001:db8:1:2::/64",
		"[2001:db8:1:2:9:9:9:9]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:3::3]:80":     "2001:db8:1:3::/64",
		"[fe80::1%eth0]:80":        "fe80::/64",
		"client.test:80":           "client.test",
		"@":                        "@",
		"":                         "",
	}
	for peer, want := range peers {
		var got string
		server := connect.NewServer(func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				got = resilience.ByPeer(ctx, spec)
				return nil
			}
		})
		server.Register(connect.Method{Spec: connect.Spec{Procedure: "/a.B/C"}})
		if err := server.Call(t.Context(), "/a.B/C", &connect.CallInfo{PeerAddr: peer}, &connectumtest.ServerStream{}); err != nil || got != want {
			t.Errorf("%q: %q, want %q (%v)", peer, got, want, err)
		}
	}
	if resilience.ByPeer(t.Context(), connect.Spec{})+resilience.ByHeader("a")(t.Context(), connect.Spec{}) != "" {
		t.Error("a key without a call")
	}
}

func TestRateLimitReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, cfg := range map[string]resilience.RateLimitConfig{
		"RateLimitConfig.Calls is 0":          {},
		"RateLimitConfig.Calls is -1":         {Calls: -1},
		"RateLimitConfig.Per is -1s":          {Calls: 1, Per: -time.Second},
		"RateLimitConfig.Burst is -1":         {Calls: 1, Burst: -1},
		"RateLimitConfig.MaxKeys is -1":       {Calls: 1, MaxKeys: -1},
		"RateLimitConfig.Calls is 11 in 10ns": {Calls: 11, Per: 10},
		"more than 100 years":                 {Calls: 1, Per: time.Hour, Burst: math.MaxInt},
	} {
		wantStartError(t, resilience.NewRateLimit(cfg).Interceptor(), text)
	}
	for _, cfg := range []resilience.RateLimitConfig{{Calls: 1}, {Calls: 10, Per: 10}, {Calls: 1, Per: 24 * time.Hour, Burst: 1000}} {
		if err := server(nil, resilience.NewRateLimit(cfg).Interceptor()).Check(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if got := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 5, Burst: 9}).String(); got != "5 calls in 1s, 9 at once" {
		t.Error(got)
	}
}

// A limit made at one time may be used under another: fake time, in tests.
func TestRateLimitCountsFromTheFirstCall(t *testing.T) {
	t.Parallel()
	around := resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 1}).Interceptor()
	synctest.Test(t, func(t *testing.T) {
		if err := connectumtest.Call(t, around, connectumtest.Exchange{}).Err; err != nil {
			t.Error(err)
		}
		connectumtest.WantError(t, connectumtest.Call(t, around, connectumtest.Exchange{}).Err, connect.CodeResourceExhausted,
			connectumtest.WithDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}))
	})
}
