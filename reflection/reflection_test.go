package reflection_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate" // what the binary has and nobody mounted
	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/durationpb" // what everybody has

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/doors"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

// open asks over one stream.
func open(t testing.TB, client *connect.Client) *grpcreflect.ClientStream {
	t.Helper()
	stream := grpcreflect.NewClient(client).NewStream(t.Context())
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

func names(t testing.TB, stream *grpcreflect.ClientStream) []string {
	t.Helper()
	list, err := stream.ListServices()
	if err != nil {
		t.Fatalf("ListServices: %v", err)
	}
	var out []string
	for _, n := range list {
		out = append(out, string(n))
	}
	return out
}

func refused(t testing.TB, what string, files []*descriptorpb.FileDescriptorProto, err error) {
	t.Helper()
	if err == nil || len(files) > 0 || connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("%s: got %v, %v", what, paths(files), err)
	}
}

func services(files []*descriptorpb.FileDescriptorProto) []string {
	var out []string
	for _, f := range files {
		for _, s := range f.GetService() {
			out = append(out, f.GetPackage()+"."+s.GetName())
		}
	}
	slices.Sort(out)
	return out
}

// Behaviour 117.
func TestTellsWhatIsMountedBehindEveryDoor(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	reflection.Register(srv) // before the services: the order does not matter
	testservice.Service{}.Register(srv.RPC())
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		stream := open(t, client)
		equal(t, "services", names(t, stream), []string{served, v1, v1alpha})
		files, err := stream.FileContainingSymbol(served)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "files", paths(files), []string{"connectum/test/v1/test.proto"})
		equal(t, "services of the file", services(files), []string{served})
		var methods []string
		for _, m := range files[0].GetService()[0].GetMethod() {
			methods = append(methods, m.GetName())
		}
		equal(t, "methods", methods, []string{"Echo", "Get", "Sum", "Count", "Chat"})
		for _, symbol := range []protoreflect.FullName{served + ".Echo", "connectum.test.v1.EchoRequest", "connectum.test.v1.Node.child"} {
			if files, err := stream.FileContainingSymbol(symbol); err != nil || len(files) != 1 {
				t.Errorf("%s: %v, %v", symbol, paths(files), err)
			}
		}
		byName, err := stream.FileByFilename("connectum/test/v1/test.proto")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "services by the file's name", services(byName), []string{served})
	})
}

func TestHidesWhatIsNotMounted(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		stream := open(t, client)
		for _, symbol := range []protoreflect.FullName{
			sibling, sibling + ".Nothing", "connectum.health.v1.Health", "connectum.health.v1.HealthCheckRequest",
			"grpc.health.v1.Health", "buf.validate.FieldRules", "nobody.v1.Service", "",
		} {
			files, err := stream.FileContainingSymbol(symbol)
			refused(t, string(symbol), files, err)
		}
		files, err := stream.FileByFilename("connectum/health/v1/health.proto")
		refused(t, "a file of the binary", files, err)
		files, err = stream.FileContainingExtension("google.protobuf.FieldOptions", 1159) // of buf.validate
		refused(t, "an extension of the binary", files, err)

		// What everybody has is no secret, and tools need it for error details.
		if files, err = stream.FileContainingSymbol("google.protobuf.Duration"); err != nil || len(files) != 1 {
			t.Errorf("a well-known type: %v, %v", paths(files), err)
		}
	})
}

// The service that is presented is the public one, whose name no generated code
// of ours has.
//
// Behaviours 117 and 120.
func TestTellsOfHealth(t *testing.T) {
	t.Parallel()
	const name = "grpc.health.v1.Health"
	srv := connectum.New(quiet())
	reflection.Register(srv)
	health.Register(srv)
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		stream := open(t, client)
		equal(t, "services", names(t, stream), []string{name, v1, v1alpha})
		files, err := stream.FileContainingSymbol(name)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "files", paths(files), []string{"grpc/health/v1/health.proto"})
		var methods []string
		for _, m := range files[0].GetService()[0].GetMethod() {
			methods = append(methods, m.GetName()+" "+m.GetInputType()+" "+m.GetOutputType())
		}
		equal(t, "methods", methods, []string{
			"Check .grpc.health.v1.HealthCheckRequest .grpc.health.v1.HealthCheckResponse",
			"List .grpc.health.v1.HealthListRequest .grpc.health.v1.HealthListResponse",
			"Watch .grpc.health.v1.HealthCheckRequest .grpc.health.v1.HealthCheckResponse",
		})
		if text := prototext.Format(files[0]); strings.Contains(text, "connectum") {
			t.Errorf("the private package shows:\n%s", text)
		}
		files, err = stream.FileContainingSymbol("connectum.health.v1.Health")
		refused(t, "the private service", files, err)
	})
}

// Behaviour 120.
func TestBothVersionsAnswer(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		for _, version := range []string{v1, v1alpha} {
			// The two versions differ in their paths alone.
			only := connect.NewClient(rerouted{client, "/" + version + "/ServerReflectionInfo"})
			equal(t, version, names(t, open(t, only)), []string{served, v1, v1alpha})
			files, err := open(t, client).FileContainingSymbol(protoreflect.FullName(version))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, version+" of itself", services(files), []string{version})
		}
	})
}

// rerouted sends every call to one procedure.
type rerouted struct {
	client    *connect.Client
	procedure string
}

func (r rerouted) NewClientStream(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
	spec.Procedure = r.procedure
	return r.client.CallClientStream(ctx, spec)
}

func TestTellsOfEveryDispatcher(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	reflection.Register(srv)
	mount(srv.RPC(), file(t, "a.proto", "a.v1", true))
	mount(srv.With(), file(t, "b.proto", "b.v1", true))
	mount(srv.System(), file(t, "c.proto", "c.v1", true))
	// Without a schema, and with one of another name, there is nothing to tell.
	unknown := func(context.Context, connect.Spec, connect.ServerStream) error { return nil }
	srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: "/d.v1.S/Call"}, Handler: unknown})
	foreign := file(t, "e.proto", "e.v1", true).Services().Get(0).Methods().Get(0)
	srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: "/other.v1.S/Call", Schema: foreign}, Handler: unknown})
	equal(t, "services", names(t, open(t, connect.NewClient(srv.Transport()))), []string{"a.v1.S", "b.v1.S", "c.v1.S", v1, v1alpha})
}

// Behaviour 118.
func TestClosureHasEachFileOnce(t *testing.T) {
	t.Parallel()
	base := file(t, "base.proto", "base", true) // its service is not mounted
	left := file(t, "left.proto", "left", false, base)
	right := file(t, "right.proto", "right", false, base)
	top := file(t, "top.proto", "top.v1", true, left, right) // a diamond
	srv := connectum.New(quiet())
	reflection.Register(srv)
	mount(srv.RPC(), top)
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		stream := open(t, client)
		files, err := stream.FileContainingSymbol("top.v1.S")
		if err != nil {
			t.Fatal(err)
		}
		got := paths(files)
		slices.Sort(got)
		equal(t, "files", got, []string{"base.proto", "left.proto", "right.proto", "top.proto"})
		equal(t, "services", services(files), []string{"top.v1.S"})
		// On one stream nothing is sent twice but what is asked for.
		if files, err = stream.FileContainingSymbol("left.M"); err != nil {
			t.Fatal(err)
		}
		equal(t, "files asked for again", paths(files), []string{"left.proto"})
		files, err = stream.FileContainingSymbol("base.S")
		refused(t, "the service of an imported file", files, err)
	})
}

func TestExtensionsOfToldFilesAreTold(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	reflection.Register(srv)
	mount(srv.RPC(), withExtension(t))
	stream := open(t, connect.NewClient(srv.Transport()))
	files, err := stream.FileContainingExtension("ext.v1.M", 1000)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "files", paths(files), []string{"ext.proto"})
	equal(t, "services", services(files), []string{"ext.v1.S"}) // ext.v1.Hidden is not mounted
	numbers, err := stream.AllExtensionNumbers("ext.v1.M")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "numbers", numbers, []protoreflect.FieldNumber{1000, 1001})
}

func TestAllowListTellsOfTheNamedAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		opts []reflection.Option
		want []string
	}{
		{"one", []reflection.Option{reflection.WithServices("a.v1.S")}, []string{"a.v1.S"}},
		{"two", []reflection.Option{reflection.WithServices("b.v1.S"), reflection.WithServices("a.v1.S")}, []string{"a.v1.S", "b.v1.S"}},
		{"none", []reflection.Option{reflection.WithServices()}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := connectum.New(quiet())
			reflection.Register(srv, c.opts...)
			for _, pkg := range []string{"a", "b", "c"} {
				mount(srv.RPC(), file(t, pkg+".proto", pkg+".v1", true))
			}
			doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
				stream := open(t, client)
				equal(t, "services", names(t, stream), c.want)
				for _, name := range []string{"a.v1.S", "b.v1.S", "c.v1.S", v1} {
					files, err := stream.FileContainingSymbol(protoreflect.FullName(name))
					if slices.Contains(c.want, name) {
						if err != nil {
							t.Errorf("%s: %v", name, err)
						}
						continue
					}
					refused(t, name, files, err)
				}
			})
		})
	}
}

func TestAllowListOfUnknownServicesIsAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	reflection.Register(srv, reflection.WithServices(sibling, "nobody.v1.S"))
	testservice.Service{}.Register(srv.RPC())
	err := srv.Serve(t.Context(), doors.NewMemory("localhost:80"))
	want := `connectum: OnStart: reflection: WithServices("connectum.test.v1.EmptyService"): the server has no such service
reflection: WithServices("nobody.v1.S"): the server has no such service`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestListingWithoutAuthenticationFails(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Interceptors = []connectum.Interceptor{connectum.Wrap("auth", func(connect.ServerFunc) connect.ServerFunc {
		return func(context.Context, connect.Spec, connect.ServerStream) error {
			return connect.NewError(connect.CodeUnauthenticated, "who are you?")
		}
	})}
	srv := connectum.New(cfg)
	reflection.Register(srv)
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		if list, err := open(t, client).ListServices(); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

// Behaviour 119.
func TestServersTellOfThemselvesAlone(t *testing.T) {
	t.Parallel()
	empty, full := connectum.New(quiet()), connectum.New(quiet())
	reflection.Register(empty)
	reflection.Register(full)
	testservice.Service{}.Register(full.RPC())
	ask := func(srv *connectum.Server) []string {
		return names(t, open(t, connect.NewClient(srv.Transport())))
	}
	equal(t, "empty", ask(empty), []string{v1, v1alpha})
	equal(t, "full", ask(full), []string{served, v1, v1alpha})
	equal(t, "empty still", ask(empty), []string{v1, v1alpha})
}

func TestOpenStreamEndsWithTheDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := connectum.New(quiet())
		reflection.Register(srv)
		r := doors.Start(t, srv, doors.Config{Memory: true})
		stream := grpcreflect.NewClient(r.Client(t, r.Doors()[0])).NewStream(t.Context())
		names(t, stream)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		_ = stream.Close()
	})
}

func TestWarnsOfWhatStrangersMayLearn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr  net.Addr
		opts  []reflection.Option
		warns bool
	}{
		{&net.TCPAddr{IP: net.IPv4zero, Port: 80}, nil, true},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, nil, false},
		{&net.UnixAddr{Name: "/run/x", Net: "unix"}, nil, false},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 80}, []reflection.Option{reflection.WithServices(served)}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			srv := connectum.New(connectum.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			reflection.Register(srv, c.opts...)
			testservice.Service{}.Register(srv.RPC())
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- srv.Serve(ctx, at{doors.NewMemory("localhost:80"), c.addr}) }()
			synctest.Wait()
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := strings.Contains(log.String(), "reflection tells the schema of all services"); got != c.warns {
				t.Errorf("%v: warned: %v\n%s", c.addr, got, &log)
			}
		})
	}
}

// at is a listener that says it is elsewhere.
type at struct {
	net.Listener
	addr net.Addr
}

func (a at) Addr() net.Addr { return a.addr }
