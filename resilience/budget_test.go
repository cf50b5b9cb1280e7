package resilience_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/resilience"
)

// A storm. Amplification is attempts that reach the server by calls that were
// made, from the first call of a client on, whatever share of them fails.
func TestRetryBudgetKeepsAStormFromGrowing(t *testing.T) {
	t.Parallel()
	const storm = 5000
	amplification := func(t *testing.T, cfg resilience.RetryConfig, healthy int) float64 {
		var attempts atomic.Int64
		r := resilience.NewRetry(cfg)
		client := connect.NewClient(server(func(context.Context) error {
			if n := attempts.Add(1); n*37%100 < int64(healthy) { // scattered
				return nil
			}
			return connect.NewError(unavailable, "down")
		}).Transport(), r.Interceptor())
		var group calls
		for range 10 { // clients of one target, which share a Retry
			group.start(func() error {
				for range storm / 10 {
					_ = get(t.Context(), client)
				}
				return nil
			})
		}
		_ = group.wait()
		return float64(attempts.Load()) / storm
	}
	for _, healthy := range []int{0, 10, 50, 85, 90, 91, 92, 95, 99} {
		t.Run(fmt.Sprintf("%d of 100 healthy", healthy), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := amplification(t, resilience.RetryConfig{}, healthy)
				t.Logf("%d of 100 healthy: amplification %.4f", healthy, got)
				if got > 1.1 {
					t.Errorf("amplification %v with the budget", got)
				}
			})
		})
	}
	t.Run("the control", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			got := amplification(t, resilience.RetryConfig{Budget: -1}, 0)
			t.Logf("amplification %.4f", got)
			if got < 3 {
				t.Errorf("amplification %v without a budget", got)
			}
		})
	})
}

// After a quiet time some repetitions are free; then they have to be earned.
func TestRetryBudgetIsEarnedByAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, m := moody()
		r := resilience.NewRetry(resilience.RetryConfig{MaxAttempts: 2, Budget: 0.25, BudgetBurst: 3, Name: "shop"})
		srv.AddMetrics(r.Metrics)
		client := connect.NewClient(srv.Transport(), r.Interceptor())
		storm := func(calls int) int64 {
			before := m.calls.Load()
			for range calls {
				_ = get(t.Context(), client)
			}
			return m.calls.Load() - before - int64(calls) // the repetitions
		}
		m.set(unavailable)
		if n := storm(10); n != 3 {
			t.Errorf("%d repetitions, want the burst of 3", n)
		}
		m.set(connect.CodeNotFound) // an answer too
		if n := storm(8); n != 0 {
			t.Errorf("%d repetitions of answers", n)
		}
		got := metrics(srv)
		connectumtest.Want(t, [4]float64{got["connectum_retry_attempts_total,name=shop"], got["connectum_retry_repetitions_total,name=shop"],
			got["connectum_retry_starved_total,name=shop"], got["connectum_retry_budget,name=shop"]}, [4]float64{21, 3, 7, 2})
		m.set(unavailable)
		if n := storm(10); n != 2 {
			t.Errorf("%d repetitions, want 2 of 8 answers", n)
		}
		m.set(0)
		storm(1000)
		m.set(unavailable)
		if n := storm(10); n != 3 {
			t.Errorf("%d repetitions after a quiet time, want 3", n)
		}
	})
}
