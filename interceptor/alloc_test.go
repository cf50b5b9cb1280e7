//go:build !race

// The race detector has pools forget what they hold, so that everything
// allocates more.

package interceptor_test

import (
	"context"
	"log/slog"
	"runtime"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
)

// The default chain adds no allocation to a unary call, but for what a rule takes:
// here one.
func TestTheDefaultChainIsCheap(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	count := func(call func() error) float64 {
		return testing.AllocsPerRun(500, func() {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		})
	}
	plain := func(client rulestestv1connect.RuleServiceClient) float64 {
		req := &rulesv1.PlainRequest{Text: "a"}
		return count(func() error {
			_, err := client.Plain(t.Context(), req)
			return err
		})
	}
	ruled := func(client rulestestv1connect.RuleServiceClient) float64 {
		req := &rulesv1.PutRequest{Name: "Ada", Count: 1}
		return count(func() error {
			_, err := client.Put(t.Context(), req)
			return err
		})
	}
	bare, chained := bareClient(t), bareClient(t, interceptor.Defaults(interceptor.Config{})...)
	for _, c := range []struct {
		name string
		call func(rulestestv1connect.RuleServiceClient) float64
		most float64
	}{{"without rules", plain, 0}, {"with rules", ruled, 1}} {
		without, with := c.call(bare), c.call(chained)
		t.Logf("messages %s: %v allocations without the chain, %v with it", c.name, without, with)
		if with > without+c.most {
			t.Errorf("messages %s: the default chain adds %v allocations, want at most %v", c.name, with-without, c.most)
		}
	}
	// The control: a chain that is not cheap is seen.
	dear := connectum.Wrap("dear", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			return next(context.WithValue(ctx, new(int), 1), spec, stream)
		}
	})
	if got, without := plain(bareClient(t, dear)), plain(bare); got <= without {
		t.Errorf("a chain of two allocations adds %v", got-without)
	}
}

// The first call of a procedure does what the hundredth does: nothing is
// compiled on it, which takes some thousands of allocations.
func TestTheFirstCallIsNotSlow(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	client := bareClient(t, interceptor.Defaults(interceptor.Config{
		Log: &interceptor.LogConfig{}, Logger: slog.New(slog.DiscardHandler),
	})...)
	req := &rulesv1.VaultRequest{Owner: "a", Password: "long-enough", Purse: &rulesv1.Purse{}}
	count := func() uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := client.Vault(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	first := count()
	for range 98 {
		count()
	}
	if hundredth := count(); first > hundredth+1500 {
		t.Errorf("the first call made %d allocations, the hundredth %d", first, hundredth)
	}
}
