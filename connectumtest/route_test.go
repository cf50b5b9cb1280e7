package connectumtest_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviours 158, the resolver: a tag for who answers, nothing for what is
// unknown, duplicates rejected.
func TestRouteFindsTheServerOfEachProcedure(t *testing.T) {
	t.Parallel()
	one := newServer(t, connectum.Config{}, testservice.Service{})
	two := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	connectumtest.FakeService(two, testv1.File_connectum_test_v1_test_proto.Services().ByName("EmptyService"))
	client := connectumtest.Route(t, map[string]*connectum.Server{"one": one, "two": two})

	ctx, info := connect.NewClientContext(t.Context())
	if _, err := testv1connect.NewTestServiceClient(client).Echo(ctx, new(testv1.EchoRequest)); err != nil || info.ResponseHeader().Get(connectumtest.RouteHeader) != "one" {
		t.Errorf("by %q, %v", info.ResponseHeader().Get(connectumtest.RouteHeader), err)
	}
	ctx, info = connect.NewClientContext(t.Context())
	if _, err := testv1connect.NewEmptyServiceClient(client).Nothing(ctx, new(testv1.NothingRequest)); err != nil || info.ResponseHeader().Get(connectumtest.RouteHeader) != "two" {
		t.Errorf("by %q, %v", info.ResponseHeader().Get(connectumtest.RouteHeader), err)
	}
	alone := connectumtest.Route(t, map[string]*connectum.Server{"two": two})
	connectumtest.WantError(t, echo(t, alone), connect.CodeUnimplemented, connectumtest.Containing("no server has"))
	report := failure(t, func(tb testing.TB) {
		connectumtest.Route(tb, map[string]*connectum.Server{"one": one, "same": newServer(t, connectum.Config{}, testservice.Service{})})
	})
	if !strings.Contains(report, "servers one and same both have") {
		t.Errorf("report %q", report)
	}
}
