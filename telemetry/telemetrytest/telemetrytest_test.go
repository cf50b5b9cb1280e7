package telemetrytest_test

import (
	"context"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

func TestARecorderFindsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{rec.Server()}})
	testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		return &testv1.EchoResponse{Text: req.GetText()}, telemetry.Span(ctx, "inner", func(context.Context) error { return nil })
	}}.Register(srv.RPC())
	if err := echo(t.Context(), connect.NewClient(srv.Transport(), rec.Client())); err != nil {
		t.Fatal(err)
	}
	client, server, inner := rec.ClientSpan(t, testv1connect.TestServiceEchoProcedure), rec.ServerSpan(t, testv1connect.TestServiceEchoProcedure), rec.InnerSpan(t, "inner")
	if server.ParentID != client.SpanID || inner.ParentID != server.SpanID || inner.TraceID != client.TraceID {
		t.Errorf("%v, %v, %v", client, server, inner)
	}
	if p := rec.Point(t, "rpc.server.call.duration", map[string]string{"connectum.door": "inproc"}); p.Count != 1 || p.Unit != "s" {
		t.Errorf("%v", p)
	}
	if n := len(rec.Points(t, "", map[string]string{"connectum.door": "http"})); n != 0 {
		t.Errorf("%d series of another door", n)
	}
	rec.Reset()
	if n := len(rec.Spans()); n != 0 {
		t.Errorf("%d spans after Reset", n)
	}
}

func TestParityHolds(t *testing.T) {
	t.Parallel()
	telemetrytest.Parity(t, telemetry.Config{}, func(link connectum.Interceptor) *connectum.Server {
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{link}, Logger: connectumtest.RecordLogs(t).Logger()})
		testservice.Service{}.Register(srv.RPC())
		return srv
	}, func(ctx context.Context, client *connect.Client) {
		if err := echo(ctx, client); err != nil {
			t.Error(err)
		}
	})
}

func echo(ctx context.Context, client *connect.Client) error {
	_, err := testv1connect.NewTestServiceClient(client).Echo(ctx, &testv1.EchoRequest{Text: "tea"})
	return err
}
