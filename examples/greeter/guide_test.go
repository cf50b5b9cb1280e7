package greeter_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

// What docs/testing.md shows is here, word for word.

func newServer(t *testing.T, chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), Interceptors: chain})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	return srv
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	client := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, newServer(t)))

	res, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	connectumtest.Want(t, res, &greeterv1.SayHelloResponse{Message: "Hello, Ada!"})
}

func TestEveryDoor(t *testing.T) {
	t.Parallel()
	connectumtest.EachDoor(t, newServer(t), func(t *testing.T, client *connect.Client) {
		res, err := greeterv1connect.NewGreeterServiceClient(client).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		connectumtest.Want(t, res, &greeterv1.SayHelloResponse{Message: "Hello, Ada!"})
	})
}

func TestParity(t *testing.T) {
	t.Parallel()
	connectumtest.Parity(t, newServer(t), func(t testing.TB, client *connect.Client) {
		greeter := greeterv1connect.NewGreeterServiceClient(client)
		_, _ = greeter.SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
		_, _ = greeter.SayHello(t.Context(), connectumtest.Fake(t, &greeterv1.SayHelloRequest{}))
	})
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	certs := connectumtest.Certs(t)
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), TLS: certs.MutualTLS()})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})

	s := connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust(certs.Client)))
	_, err := greeterv1connect.NewGreeterServiceClient(s.GRPC()).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFakes(t *testing.T) {
	t.Parallel()
	faker := connectumtest.Faker(t)
	client := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, newServer(t)))
	for range 10 {
		req := new(greeterv1.SayHelloRequest) // each time with another name, valid under its rules
		if err := faker.Fill(req); err != nil {
			t.Fatal(err)
		}
		if _, err := client.SayHello(t.Context(), req); err != nil {
			t.Error(err)
		}
	}
}

func TestMockServer(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	connectumtest.FakeService(srv, greeterv1.File_greeter_v1_greeter_proto.Services().ByName("GreeterService"))

	client := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, srv))
	if _, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"}); err != nil {
		t.Fatal(err)
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
		connectumtest.Script{
			"SayHello": connectumtest.Steps(
				connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "warming up")),
				connectumtest.Delay(time.Second).Then(connectumtest.Answer(&greeterv1.SayHelloResponse{Message: "Hi"})),
			),
			"*": connectumtest.Hang(),
		}.Register(srv.RPC(), greeterv1.File_greeter_v1_greeter_proto.Services().ByName("GreeterService"))

		client := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, srv))
		_, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{})
		connectumtest.WantError(t, err, connect.CodeUnavailable, connectumtest.Containing("warming up"))
		if _, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{}); err != nil {
			t.Error(err)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	unavailable := connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "injected"))
	srv := newServer(t, connectumtest.Fault("greeter.v1.GreeterService/SayHello", 0.5, unavailable))

	client := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, srv))
	failed := 0
	for range 100 {
		if _, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"}); err != nil {
			failed++
		}
	}
	if failed < 30 || failed > 70 {
		t.Errorf("%d of 100 calls failed", failed)
	}
}

func TestStreamHandler(t *testing.T) {
	t.Parallel()
	server := connect.NewServer()
	greeterv1connect.RegisterGreeterServiceHandler(server, greeter.Service{})

	got := connectumtest.CallHandler(t, server, greeterv1connect.GreeterServiceGreetEveryoneProcedure,
		&greeterv1.GreetEveryoneRequest{Name: "Ada"}, &greeterv1.GreetEveryoneRequest{Name: "Bob"})
	if got.Err != nil || got.Answers[0].(*greeterv1.GreetEveryoneResponse).GetCount() != 2 {
		t.Errorf("answers %v, error %v", got.Answers, got.Err)
	}
}

func TestInterceptor(t *testing.T) {
	t.Parallel()
	refuse := connectum.Wrap("refuse", func(connect.ServerFunc) connect.ServerFunc {
		return func(context.Context, connect.Spec, connect.ServerStream) error {
			return connect.NewError(connect.CodePermissionDenied, "not today")
		}
	})
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		got := connectumtest.Call(t, refuse, connectumtest.Exchange{Kind: kind})
		connectumtest.WantError(t, got.Err, connect.CodePermissionDenied, connectumtest.Matching("^not"))
		if got.Calls != 0 {
			t.Error("the handler was called")
		}
	})
}

func TestRecordAndReplay(t *testing.T) {
	t.Parallel()
	var rec connectumtest.Recording
	srv := newServer(t, rec.Interceptor())
	client := connectumtest.Client(t, srv)
	_, _ = greeterv1connect.NewGreeterServiceClient(client).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
	file := filepath.Join(t.TempDir(), "calls.json")
	if err := rec.Save(file); err != nil {
		t.Fatal(err)
	}

	// As a test of the service.
	connectumtest.LoadRecording(t, file).Replay(t, connectumtest.Client(t, newServer(t)))

	// As a fake in its place.
	fake := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	if err := connectumtest.LoadRecording(t, file).Register(fake.RPC()); err != nil {
		t.Fatal(err)
	}
	res, err := greeterv1connect.NewGreeterServiceClient(connectumtest.Client(t, fake)).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil || !proto.Equal(res, &greeterv1.SayHelloResponse{Message: "Hello, Ada!"}) {
		t.Errorf("%v, %v", res, err)
	}
}

func TestLeaksAndLogs(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := connectum.New(connectum.Config{Logger: logs.Logger()})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	connectumtest.NoLeaks(t, srv) // first, so that it looks last

	s := connectumtest.Start(t, srv)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	logs.Await(t, "shutdown: done")
}
