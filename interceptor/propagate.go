package interceptor

import (
	"context"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
)

// Propagate is a client interceptor that passes on headers of the inbound call
// whose context, or one derived from it, the outbound call is made with.
// Headers that are not listed stay here; one that the caller has set itself is
// kept. Other calls are left alone.
//
// The deadline of the inbound call and its end need no help: they are in its
// context. Both pass to a remote transport and an in-process one alike.
//
// List only what the other side may know: what the inbound client sent is
// passed on as it is. Propagate panics on names that protocols own (te, grpc-*,
// connect-*, content-*, hop-by-hop headers) and on none.
func Propagate(headers ...string) connect.ClientInterceptor {
	if len(headers) == 0 {
		panic("interceptor: Propagate needs the names of headers")
	}
	var names []string
	for _, h := range headers {
		name := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(h))
		if owned(name) {
			panic(fmt.Sprintf("interceptor: Propagate(%q): the header belongs to the protocol", h))
		}
		names = append(names, name)
	}
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			in, ok := connect.CallInfoForServerContext(ctx)
			if !ok {
				return next(ctx, spec)
			}
			out, ok := connect.CallInfoForClientContext(ctx)
			if !ok {
				return next(ctx, spec)
			}
			for _, name := range names {
				if values := in.RequestHeader().Values(name); len(values) > 0 && !out.RequestHeader().Has(name) {
					out.RequestHeader().SetValues(name, slices.Clone(values))
				}
			}
			return next(ctx, spec)
		}
	}
}

// owned reports a header that says something of one connection or message.
func owned(name string) bool {
	switch name {
	case "", "Te", "Trailer", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Host",
		"Accept", "Accept-Encoding", "Accept-Post", "User-Agent", "Expect":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Grpc-") || strings.HasPrefix(name, "Connect-") ||
		strings.HasPrefix(name, ":") || strings.ContainsAny(name, " \t\r\n*")
}
