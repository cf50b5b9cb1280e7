package interop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1connect "connectrpc.com/connect"
	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	legacyv1 "github.com/connectum-go/connectum/conformance/internal/gen/legacy/v1"
	"github.com/connectum-go/connectum/conformance/internal/gen/legacy/v1/legacyv1connect"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// legacy is a service as Connect v1 has them.
type legacy struct{}

func (legacy) Greet(_ context.Context, req *v1connect.Request[legacyv1.GreetRequest]) (*v1connect.Response[legacyv1.GreetResponse], error) {
	switch req.Msg.GetName() {
	case "":
		return nil, v1connect.NewError(v1connect.CodeInvalidArgument, errors.New("who are you?"))
	case "panic":
		panic("password=hunter2")
	}
	res := v1connect.NewResponse(&legacyv1.GreetResponse{Message: "Hello, " + req.Msg.GetName() + "!"})
	res.Header().Set("X-Protocol", req.Peer().Protocol)
	return res, nil
}

func (legacy) GreetMany(ctx context.Context, req *v1connect.Request[legacyv1.GreetManyRequest], stream *v1connect.ServerStream[legacyv1.GreetManyResponse]) error {
	for n := range req.Msg.GetCount() {
		if err := stream.Send(&legacyv1.GreetManyResponse{Message: fmt.Sprint(n, " ", req.Msg.GetName())}); err != nil {
			return err
		}
	}
	if req.Msg.GetName() == "waits" {
		<-connectum.Draining(ctx)
	}
	return nil
}

// A service that was generated for Connect v1 mounts as it is, beside those of
// v2, and is drained as they are.
func TestAServiceOfConnectV1Mounts(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := connectum.New(connectum.Config{Logger: logs.Logger()})
	testservice.Service{}.Register(srv.RPC())
	srv.Handle(legacyv1connect.NewLegacyServiceHandler(legacy{}))
	s := connectumtest.Start(t, srv)

	for name, c := range map[string]struct {
		http *http.Client
		opts []v1connect.ClientOption
	}{
		"connect": {s.HTTP1(), nil}, "connect h2": {s.HTTP2(), nil},
		"json":    {s.HTTP1(), []v1connect.ClientOption{v1connect.WithProtoJSON()}},
		"grpcweb": {s.HTTP1(), []v1connect.ClientOption{v1connect.WithGRPCWeb()}},
		"grpc":    {s.HTTP2(), []v1connect.ClientOption{v1connect.WithGRPC()}},
	} {
		t.Run(name, func(t *testing.T) {
			client := legacyv1connect.NewLegacyServiceClient(c.http, s.URL(), c.opts...)
			greet := func(name string) (*v1connect.Response[legacyv1.GreetResponse], error) {
				return client.Greet(t.Context(), v1connect.NewRequest(&legacyv1.GreetRequest{Name: name}))
			}
			res, err := greet("Ada")
			if err != nil {
				t.Fatal(err)
			}
			protocol, _, _ := strings.Cut(name, " ")
			if protocol == "json" {
				protocol = "connect"
			}
			if res.Msg.GetMessage() != "Hello, Ada!" || res.Header().Get("X-Protocol") != protocol {
				t.Errorf("%v by %q", res.Msg, res.Header().Get("X-Protocol"))
			}
			if _, err := greet(""); v1connect.CodeOf(err) != v1connect.CodeInvalidArgument || !strings.Contains(err.Error(), "who are you?") {
				t.Errorf("an error: %v", err)
			}
			if _, err := greet("panic"); v1connect.CodeOf(err) != v1connect.CodeInternal || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a panic: %v", err)
			}
			stream, err := client.GreetMany(t.Context(), v1connect.NewRequest(&legacyv1.GreetManyRequest{Name: "Ada", Count: 3}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for stream.Receive() {
				got = append(got, stream.Msg().GetMessage())
			}
			if stream.Err() != nil || strings.Join(got, ",") != "0 Ada,1 Ada,2 Ada" {
				t.Errorf("%v, %v", got, stream.Err())
			}
			_ = stream.Close()
		})
	}
	if n := len(logs.Find("panicked")); n != 5 {
		t.Errorf("%d panics in the log, want 5", n)
	}
	if _, err := testv1connect.NewTestServiceClient(s.GRPC()).Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
		t.Errorf("the service of v2 beside it: %v", err)
	}
	if err := s.GRPC().CallUnary(t.Context(), connect.Spec{Procedure: "/legacy.v1.LegacyService/Nope"}, new(legacyv1.GreetRequest), new(legacyv1.GreetResponse)); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("a method that it does not have: %v", err)
	}

	waits, err := legacyv1connect.NewLegacyServiceClient(s.HTTP2(), s.URL(), v1connect.WithGRPC()).
		GreetMany(t.Context(), v1connect.NewRequest(&legacyv1.GreetManyRequest{Name: "waits", Count: 1}))
	if err != nil || !waits.Receive() {
		t.Fatalf("%v, %v", err, waits.Err())
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	if waits.Receive() || waits.Err() != nil {
		t.Errorf("a stream during the drain ended with %v", waits.Err())
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
