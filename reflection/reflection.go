// Package reflection lets tools such as grpcurl and grpcui ask a server for the
// schema of its services: grpc.reflection.v1 and v1alpha.
//
//	func main() {
//		srv := connectum.New(connectum.Config{})
//		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//		reflection.Register(srv)
//		connectum.Main(srv)
//	}
//
// What is told is what is mounted, on whichever dispatcher and in whatever order
// it was registered: those services, the files that define them, and the files
// these import. A service that is not mounted stays hidden, also where its proto
// file is told, and so do all other types in the binary.
//
// Reflection tells whoever may call it how to call the rest. It is registered on
// [connectum.Server.RPC], so that the interceptors of the configuration, and with
// them authentication, apply to it as to the services. Where strangers reach the
// port without either, leave it out or name what they may know with
// [WithServices]; the server warns of the rest when it starts.
//
// It is a stream both ways, which HTTP/1.1 cannot carry: tools need HTTP/2.
//
// See https://github.com/grpc/grpc/blob/master/doc/server-reflection.md.
package reflection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
)

// Option changes what [Register] tells.
type Option interface{ apply(*reflector) }

type optionFunc func(*reflector)

func (f optionFunc) apply(r *reflector) { f(r) }

// WithServices tells of the services of these full names alone, such as
// "greeter.v1.GreeterService"; without any of none. Reflection itself is listed
// only when it is named. A name that the server does not have is an error of the
// start. The default is all services of the server.
func WithServices(names ...string) Option {
	return optionFunc(func(r *reflector) {
		r.limited = true
		r.allowed = append(r.allowed, names...)
	})
}

// Register registers both versions of reflection on srv.RPC(). Call it once for
// a server, before it runs, in any order with the services; a second call
// panics.
func Register(srv *connectum.Server, opts ...Option) {
	r := &reflector{server: srv}
	for _, o := range opts {
		o.apply(r)
	}
	r.schema = sync.OnceValue(r.collect)
	grpcreflect.Register(srv.RPC(),
		grpcreflect.WithNamer(grpcreflect.NamerFunc(func() []string { return r.schema().services })),
		grpcreflect.WithDescriptorResolver(files{r}),
		grpcreflect.WithExtensionResolver(types{r}))
	srv.OnStart(r.start)
	srv.OnReady(r.warn)
}

// reflector knows what one server tells of itself.
type reflector struct {
	server  *connectum.Server
	limited bool
	allowed []string
	schema  func() *schema // made when it is first asked for; the services are final then
}

// mounted returns the methods of each service of the server.
func (r *reflector) mounted() map[string][]connect.Spec {
	out := map[string][]connect.Spec{}
	for spec := range r.server.Procedures() {
		service, _, _ := strings.Cut(strings.TrimPrefix(spec.Procedure, "/"), "/")
		out[service] = append(out[service], spec)
	}
	return out
}

func (r *reflector) tells(service string) bool {
	return !r.limited || slices.Contains(r.allowed, service)
}

// collect makes the schema of what is mounted and may be told. A service
// without a protobuf schema, or whose schema goes by another name, can't be
// described and is left out.
func (r *reflector) collect() *schema {
	mounted := r.mounted()
	visible := map[protoreflect.FullName]bool{}
	var roots []protoreflect.FileDescriptor
	for _, name := range slices.Sorted(maps.Keys(mounted)) {
		if !r.tells(name) {
			continue
		}
		for _, spec := range mounted[name] {
			if m, ok := spec.Schema.(protoreflect.MethodDescriptor); ok && m.Parent().FullName() == protoreflect.FullName(name) {
				visible[m.Parent().FullName()] = true
				roots = append(roots, m.ParentFile())
				break
			}
		}
	}
	return newSchema(visible, roots)
}

// start reports names that the server does not have.
func (r *reflector) start(context.Context) error {
	mounted := r.mounted()
	var faults []error
	for _, name := range r.allowed {
		if _, ok := mounted[name]; !ok {
			faults = append(faults, fmt.Errorf("reflection: WithServices(%q): the server has no such service", name))
		}
	}
	return errors.Join(faults...)
}

// warn tells operators what strangers may learn.
func (r *reflector) warn(ctx context.Context, addr net.Addr) {
	if a, ok := addr.(*net.TCPAddr); r.limited || !ok || a.IP.IsLoopback() {
		return
	}
	r.server.Logger().LogAttrs(ctx, slog.LevelWarn,
		"reflection tells the schema of all services beyond this host: make sure that its callers are authenticated, or limit it with reflection.WithServices",
		slog.String("addr", addr.String()), slog.Int("services", len(r.schema().services)))
}
