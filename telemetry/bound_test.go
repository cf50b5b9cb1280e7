package telemetry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// Bounded by construction: 10,000 client ports and 100,000 unknown paths leave
// the number of series as it is.
func TestClientsAddNoSeries(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{Sampler: never})
	srv := serve(testservice.Service{}, rec.Server())
	h := srv.Handler()
	post := func(path, peer, contentType string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}"))
		r.RemoteAddr = peer
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Traceparent", "nonsense")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		_, _ = io.Copy(io.Discard, w.Body)
		return w.Code
	}
	series := func() int {
		n := len(rec.Points(t, "", nil))
		for range srv.Metrics() {
			n++
		}
		return n
	}
	if code := post(echo, "10.0.0.1:1", "application/json"); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	post("/connectum.test.v1.TestService/Nothing", "10.0.0.1:1", "application/json")
	before := series()
	for n := range 10_000 {
		post(echo, fmt.Sprintf("10.0.%d.%d:%d", n%7, n%11, 1024+n), "application/json")
	}
	for n := range 100_000 {
		path := fmt.Sprintf("/connectum.test.v1.TestService/Method%d", n)
		if n%2 == 0 {
			path = fmt.Sprintf("/unknown.v1.Service%d/Method", n)
		}
		post(path, "10.0.0.1:1", []string{"application/json", "application/grpc", "application/proto"}[n%3])
	}
	if after := series(); after != before || before == 0 {
		t.Errorf("%d series before, %d after", before, after)
	}
	if p := rec.Point(t, "rpc.server.call.duration", nil); p.Count != 10_001 {
		t.Errorf("the calls were not counted: %v", p)
	}
	// The control: another protocol does add some.
	post(echo, "10.0.0.1:1", "application/grpc")
	if after := series(); after == before {
		t.Error("the count of series misses a new one")
	}
}

// The procedures that a client calls are those of the program; one that is made
// to call what strangers say has a thousand.
func TestAProxyHasABoundOfProcedures(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{Sampler: never})
	client := connect.NewClient(serve(testservice.Service{}).Transport(), rec.Client())
	for n := range 3000 {
		_ = client.CallUnary(t.Context(), connect.Spec{Procedure: fmt.Sprintf("/a.B/C%d", n)}, nil, nil)
	}
	if n := len(rec.Points(t, "rpc.client.call.duration", nil)); n > 1010 {
		t.Errorf("%d series", n)
	}
	if p := rec.Point(t, "rpc.client.call.duration", map[string]string{"rpc.method": "_OTHER"}); p.Count < 1990 {
		t.Errorf("%v", p)
	}
}

// silent accepts connections and answers nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return "http://" + l.Addr().String()
}

// refused is where nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// behaviours 135 and 136: a collector that is dead, silent or slow fails no
// call, bounds the memory, and does not hold up the stop beyond its budget: nothing
// else would end these exports within an hour.
func TestADeadCollectorHurtsNobody(t *testing.T) { //nolint:paralleltest // it measures the heap, and sets the environment
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BLRP_EXPORT_TIMEOUT", "OTEL_METRIC_EXPORT_TIMEOUT"} {
		t.Setenv(name, "3600000")
	}
	slow := newCollector(t)
	slow.delay, slow.discard = 300*time.Millisecond, true // what it keeps would count as ours
	for _, c := range []struct{ name, protocol, endpoint string }{
		{"refused", "grpc", refused(t)}, {"refused", "http/protobuf", refused(t)},
		{"silent", "grpc", silent(t)}, {"silent", "http/protobuf", silent(t)},
		{"slow", "grpc", slow.grpcURL}, {"slow", "http/protobuf", slow.httpURL},
	} {
		t.Run(c.name+" "+c.protocol, func(t *testing.T) {
			connectumtest.NoLeaks(t)
			logs := connectumtest.RecordLogs(t)
			tel, err := telemetry.Start(t.Context(), telemetry.Config{Endpoint: c.endpoint, Protocol: c.protocol, Logger: logs.Logger()})
			if err != nil {
				t.Fatal(err)
			}
			srv := serve(testservice.Service{}, tel.Server())
			tel.Register(srv)
			client := connect.NewClient(srv.Transport(), tel.Client())
			log := slog.New(tel.LogHandler(slog.DiscardHandler))
			load := func(calls int) uint64 {
				for range calls {
					if err := methods[0].call(t.Context(), client); err != nil {
						t.Fatal(err)
					}
					log.InfoContext(t.Context(), "called", "text", strings.Repeat("x", 100))
				}
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			full := load(10_000) // 20,000 spans and 10,000 records: more than the queues hold
			more := load(20_000)
			t.Logf("heap %.1f MB after 10,000 calls, %.1f MB after 30,000", float64(full)/1e6, float64(more)/1e6)
			// The bound: 2048 waiting and 512 in hand, of spans and of records,
			// about 3 KB each.
			if more > full+8<<20 {
				t.Errorf("the heap grows from %d to %d bytes", full, more)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := tel.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if c.name != "slow" {
				end := logs.Await(t, "telemetry was lost at the end")
				if err, told := end.Attrs["error"]; told && err == nil {
					t.Errorf("an error is told that there is not: %v", end)
				}
			}
			// behaviour 129: a second stop, and what comes after it, are nothing.
			if err := tel.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := methods[0].call(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
}

// A stop that has no time leaves nothing running either.
func TestAStopWithoutTimeLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // the goroutines are those of the process
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			connectumtest.NoLeaks(t)
			tel, err := telemetry.Start(t.Context(), telemetry.Config{Endpoint: silent(t), Protocol: protocol, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			srv := serve(testservice.Service{}, tel.Server())
			if err := methods[0].call(t.Context(), connect.NewClient(srv.Transport())); err != nil {
				t.Fatal(err)
			}
			slog.New(tel.LogHandler(slog.DiscardHandler)).InfoContext(t.Context(), "called")
			if err := tel.Shutdown(ended(t)); err != nil {
				t.Error(err)
			}
		})
	}
}
