//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
)

// A collector that the environment names gets what the program records of calls by
// each protocol, in the caller's trace, and when it ends whatever is left; /metrics
// has the same.
func TestTheProgramReportsToACollector(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]string{} // by path: all that was posted
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] += string(body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	const traceID = "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"

	t.Run("while it runs", func(t *testing.T) {
		addr, admin := serve(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		tr := &http.Transport{Protocols: p}
		defer tr.CloseIdleConnections()
		for _, protocol := range [][]connecthttp.Option{nil, {connecthttp.WithGRPC()}, {connecthttp.WithGRPCWeb()}} {
			ctx, info := connect.NewClientContext(t.Context())
			info.RequestHeader().Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: tr}, "http://"+addr, protocol...)))
			if _, err := client.SayHello(ctx, &greeterv1.SayHelloRequest{Name: "Ada"}); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		for _, want := range []string{`rpc_system_name="connectrpc"} 1`, `rpc_system_name="grpc"} 2`, "connectum_server_ready 1"} {
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%v, no %s in\n%s", err, want, text)
			}
		}
	})

	mu.Lock()
	defer mu.Unlock()
	for path, want := range map[string][]string{
		"/v1/traces":  {"my-service", "deployment.environment.name", "greeter.v1.GreeterService/SayHello", traceID},
		"/v1/metrics": {"my-service", "rpc.server.call.duration", "greeter.v1.GreeterService/SayHello", "connectum_calls_in_flight", "go.goroutine.count"},
		"/v1/logs":    {"my-service", "/greeter.v1.GreeterService/SayHello", traceID, "shutting down"},
	} {
		for _, text := range want {
			if !strings.Contains(got[path], text) {
				t.Errorf("no %q in what came to %s (%d bytes)", text, path, len(got[path]))
			}
		}
	}
	if n := strings.Count(got["/v1/traces"], traceID); n != 3 {
		t.Errorf("%d spans in the caller's trace, want 3", n)
	}
}
