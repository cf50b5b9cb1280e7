// Package plugin is what a stranger can build for connectum through its public
// API alone: an interceptor that is bound per procedure, counts the calls of
// each, shows the counts among the server's metrics, and is told of the stop.
package plugin

import (
	"context"
	"sync/atomic"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Counter counts calls by procedure. It is safe for concurrent use.
type Counter struct {
	counts []*count // one for each procedure, settled before serving
}

type count struct {
	procedure string
	n         atomic.Int64
}

// Interceptor returns what to put into connectum.Config.Interceptors. It leaves
// procedures alone that are declared free of side effects.
func (c *Counter) Interceptor() connectum.Interceptor {
	return connectum.Interceptor{Name: "counter", Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if spec.IdempotencyLevel == connect.IdempotencyNoSideEffects {
			return nil, nil
		}
		mine := &count{procedure: spec.Procedure}
		c.counts = append(c.counts, mine)
		return func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				mine.n.Add(1)
				return next(ctx, spec, stream)
			}
		}, nil
	}}
}

// Register adds the counts to the metrics of srv, and reset to its stop.
func (c *Counter) Register(srv *connectum.Server) {
	srv.AddMetrics(func(yield func(connectum.Sample) bool) {
		for _, k := range c.counts {
			if !yield(connectum.Sample{Name: "plugin_calls_total", Help: "Calls by procedure.", Counter: true,
				Labels: []connectum.Label{{Name: "procedure", Value: k.procedure}}, Value: float64(k.n.Load())}) {
				return
			}
		}
	})
	srv.OnShutdown("counter", func() {
		for _, k := range c.counts {
			k.n.Store(0)
		}
	})
}
