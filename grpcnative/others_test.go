package grpcnative_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/health"
	healthv1 "github.com/connectum-go/connectum/internal/gen/connectum/health/v1"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/reflection"
	"github.com/connectum-go/connectum/validate"
)

// ruled is a service whose messages have rules.
type ruled struct {
	rulestestv1connect.RuleServiceHandler
}

func (ruled) Put(ctx context.Context, req *rulesv1.PutRequest) (*rulesv1.PutResponse, error) {
	return &rulesv1.PutResponse{Text: req.GetName() + " by " + string(connectum.DoorOf(ctx))}, nil
}

// furnished is a server with the packages of the framework that serve.
func furnished(t *testing.T, cfg connectum.Config) *connectum.Server {
	t.Helper()
	cfg.Interceptors = append(cfg.Interceptors, validate.New(validate.Config{}))
	srv := newServer(cfg, native())
	rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), ruled{})
	health.Register(srv)
	reflection.Register(srv)
	return srv
}

// Rules hold behind the native door as behind the others.
func TestRequestsAreHeldToTheirRulesBehindTheNativeDoor(t *testing.T) {
	t.Parallel()
	run, native := connectumtest.Start(t, furnished(t, quiet())), 0
	run.EachDoor(t, func(t *testing.T, client *connect.Client) {
		c := rulestestv1connect.NewRuleServiceClient(client)
		res, err := c.Put(t.Context(), &rulesv1.PutRequest{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if res.GetText() == "a by "+string(grpcnative.DoorGRPC) {
			native++
		}
		_, err = c.Put(t.Context(), &rulesv1.PutRequest{})
		connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing("[string.min_len]"))
	}, grpcnative.Door())
	if native == 0 {
		t.Error("no call came in natively")
	}
}

// So does health by every door, and reflection by the native one.
func TestHealthAndReflectionAnswerByTheDoor(t *testing.T) {
	t.Parallel()
	run := connectumtest.Start(t, furnished(t, quiet()))
	run.EachDoor(t, func(t *testing.T, client *connect.Client) {
		h := new(healthv1.HealthCheckResponse)
		spec := connect.Spec{StreamType: connect.StreamTypeUnary, Procedure: "/grpc.health.v1.Health/Check"}
		if err := client.CallUnary(t.Context(), spec, &healthv1.HealthCheckRequest{}, h); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", h, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		spec = connect.Spec{StreamType: connect.StreamTypeServer, Procedure: "/grpc.health.v1.Health/Watch"}
		watch, err := client.CallServerStream(ctx, spec, &healthv1.HealthCheckRequest{Service: "connectum.test.v1.TestService"})
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Receive(h); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("watch: %v, %v", h, err)
		}
	}, grpcnative.Door())

	stream, err := run.Through(t, grpcnative.Door()).CallClientStream(t.Context(),
		connect.Spec{StreamType: connect.StreamTypeBidi, Procedure: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	list := new(reflectionpb.ServerReflectionResponse)
	err = errors.Join(stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}),
		stream.Receive(list), stream.CloseSend())
	if err != nil || len(list.GetListServicesResponse().GetService()) < 3 {
		t.Errorf("reflection: %v, %v", list, err)
	}
}

// So do health and reflection, as grpc-go's own clients ask for them, over a Unix
// socket as over TCP.
func TestHealthAndReflectionAnswerNativeClients(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"TCP": "127.0.0.1:0", "a Unix socket": "unix://" + filepath.Join(t.TempDir(), "s")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quiet()
			cfg.Addr = addr
			srv := furnished(t, cfg)
			connectumtest.Start(t, srv)
			at := srv.Addr()
			conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, at.Network(), at.String())
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range 2 { // on one connection, in whatever order
				h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
				if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
					t.Errorf("health: %v, %v", h, err)
				}
				res := new(testv1.GetResponse)
				if err := conn.Invoke(t.Context(), getPath, &testv1.GetRequest{}, res); err != nil || res.GetText() != string(grpcnative.DoorGRPC) {
					t.Errorf("a call: %v, %v", res, err)
				}
				stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
					t.Fatal(err)
				}
				list, err := stream.Recv()
				if err != nil || len(list.GetListServicesResponse().GetService()) < 3 {
					t.Errorf("reflection: %v, %v", list, err)
				}
				_ = stream.CloseSend()
			}
			var native float64
			for sample := range srv.Metrics() {
				if sample.Name == "connectum_grpcnative_connections_total" {
					native = sample.Value
				}
			}
			if native != 1 {
				t.Errorf("%v connections were taken by the engine, want the one", native)
			}
		})
	}
}
