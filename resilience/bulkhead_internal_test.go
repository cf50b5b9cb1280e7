package resilience

import (
	"context"
	"strconv"
	"testing"

	"connectrpc.com/connect/v2"
)

// Clients choose keys, so what is kept of one must go with its last call.
func TestBulkheadForgetsKeysThatNobodyUses(t *testing.T) {
	t.Parallel()
	type key struct{}
	b := NewBulkhead(BulkheadConfig{Capacity: 1, Key: func(ctx context.Context, _ connect.Spec) string {
		return ctx.Value(key{}).(string)
	}})
	link, err := b.Interceptor().Bind(connect.Spec{Procedure: "/a.B/C"})
	if err != nil {
		t.Fatal(err)
	}
	thrown := 0
	serve := link(func(context.Context, connect.Spec, connect.ServerStream) error {
		if n := len(b.keyed); n != 1 {
			t.Errorf("%d keys while one is used", n)
		}
		if thrown++; thrown%2 == 0 {
			panic("boom")
		}
		return nil
	})
	for n := range 100 {
		func() {
			defer func() { _ = recover() }()
			_ = serve(context.WithValue(t.Context(), key{}, strconv.Itoa(n)), connect.Spec{}, nil)
		}()
	}
	if n := len(b.keyed); n != 0 {
		t.Errorf("%d keys are kept of calls that have ended", n)
	}
}
