package telemetrytest

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
)

// The control of Parity: whatever is recorded behind one door alone is seen.
func TestParitySeesEachSeededDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		seed       func(ctx context.Context) error
	}{
		{"nothing", "", func(context.Context) error { return nil }},
		{"attribute", `"seeded"`, func(ctx context.Context) error {
			trace.SpanFromContext(ctx).SetAttributes(attribute.String("seeded", "yes"))
			return nil
		}},
		{"event", `"seeded"`, func(ctx context.Context) error { trace.SpanFromContext(ctx).AddEvent("seeded"); return nil }},
		{"span", `"seeded"`, func(ctx context.Context) error {
			return telemetry.Span(ctx, "seeded", func(ctx context.Context) error {
				return telemetry.Span(ctx, "and within", func(context.Context) error { return nil })
			})
		}},
		{"verdict", "aborted", func(context.Context) error { return connect.NewError(connect.CodeAborted, "seeded") }},
	} {
		build := func(link connectum.Interceptor) *connectum.Server {
			srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{link}, Logger: slog.New(slog.DiscardHandler)})
			testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				if connectum.DoorOf(ctx) == connectum.DoorHTTP {
					return &testv1.EchoResponse{Text: "tea"}, c.seed(ctx)
				}
				return &testv1.EchoResponse{Text: "tea"}, nil
			}}.Register(srv.RPC())
			return srv
		}
		call := func(ctx context.Context, client *connect.Client) {
			_, _ = testv1connect.NewTestServiceClient(client).Echo(ctx, &testv1.EchoRequest{Text: "tea"})
		}
		first := behind(t, telemetry.Config{}, build, call, "in-process", nil)
		diff := cmp.Diff(first, behind(t, telemetry.Config{}, build, call, "grpc h2c", nil))
		if (diff == "") != (c.want == "") || !strings.Contains(diff, c.want) {
			t.Errorf("%s: want %s in\n%s", c.name, c.want, diff)
		}
	}
}
