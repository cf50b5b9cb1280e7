// Package resilience keeps servers from taking more than they can do and
// clients from asking for more than servers can do. Nothing of it is on unless
// it is asked for; package interceptor puts the parts in their order:
//
//	server:  ─► Limiter ─► Bulkhead ─► RateLimit ─► MethodTimeout ─► StreamLimits ─► handler
//	client:  ─► Fallback ─► Breaker ─► Retry ─► Hedge ─► AttemptTimeout ─► transport
//
// What stands further left sees one call where what stands further right sees
// several attempts: a breaker counts a call that was retried once.
//
//	bulkhead := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50})
//	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{bulkhead.Interceptor()}})
//	srv.AddMetrics(bulkhead.Metrics)
//
// Infrastructure ([connectum.Server.System]: health) is outside the chain, and
// so outside all of this.
//
// What is wrong with the settings of a server's part is a start error of the
// server, with those of a client's a panic of its constructor; either names the
// field. docs/resilience.md says when to use what.
//
// Permits, breakers, the repetition of attempts and hedges, and the search for
// the right concurrency are those of failsafe-go.
package resilience

import (
	"context"
	"net"
	"net/netip"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
)

// Key says which calls share a limit: those for which it returns the same.
// It is called for every call, by several goroutines at once.
type Key func(ctx context.Context, spec connect.Spec) string

// ByPeer is a [Key]: calls from one address share a limit, an IPv6 address
// being its first 64 bits, for the rest is its owner's to choose. Behind a
// proxy the address is the proxy's. Calls without a network share one limit.
func ByPeer(ctx context.Context, _ connect.Spec) string {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok {
		return ""
	}
	return network(info.PeerAddr)
}

// network is what calls from one place have in common, of "host:port".
func network(peer string) string {
	if p, err := netip.ParseAddrPort(peer); err == nil {
		host := p.Addr().Unmap()
		if host.Is4() {
			return host.String()
		}
		if prefix, err := host.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	if host, _, err := net.SplitHostPort(peer); err == nil {
		return host
	}
	return peer
}

// ByHeader returns a [Key]: calls with the same value of the request header
// name share a limit. Clients choose what they send, so it fits headers that
// something in front has checked.
func ByHeader(name string) Key {
	return func(ctx context.Context, _ connect.Spec) string {
		info, ok := connect.CallInfoForServerContext(ctx)
		if !ok {
			return ""
		}
		return info.RequestHeader().Get(name)
	}
}

// refuse makes the error of a call that found no room, with the time after
// which another attempt makes sense as google.rpc.RetryInfo.
func refuse(after time.Duration, format string, args ...any) *connect.Error {
	err := connect.Errorf(connect.CodeResourceExhausted, format, args...)
	if after <= 0 {
		return err
	}
	detail, failure := connectproto.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	if failure != nil {
		return err
	}
	return err.WithDetail(detail)
}

// named puts the name of what measures before labels, if it has one.
func named(name string, labels ...connectum.Label) []connectum.Label {
	if name == "" {
		return labels
	}
	return append([]connectum.Label{{Name: "name", Value: name}}, labels...)
}

// sample emits one measurement.
func sample(yield func(connectum.Sample) bool, name, help string, counter bool, v float64, labels ...connectum.Label) bool {
	return yield(connectum.Sample{Name: name, Help: help, Counter: counter, Value: v, Labels: labels})
}
