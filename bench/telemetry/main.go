//go:build unix

// Command telemetry compares what package telemetry adds to a call with what
// otelconnect adds: the same server, the same SDK (metrics, and spans that a
// batch processor hands to an exporter that drops them), rounds interleaved.
//
//	go run ./telemetry [-rounds 15] [-calls 20000]
//
// It prints CPU time (getrusage, user and system) and allocations that a call
// takes beyond those of the bare server: medians of the rounds. There is no
// network: requests are handed to the server's handler, or called in-process.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/telemetry"
)

var (
	rounds = flag.Int("rounds", 15, "rounds; the order changes with each")
	calls  = flag.Int("calls", 20_000, "calls a round")
	only   = flag.String("only", "", "one way of calling, by its name")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

const procedure = "/bench.v1.Bench/Unary"

// dropping takes spans and loses them.
type dropping struct{}

func (dropping) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (dropping) Shutdown(context.Context) error                             { return nil }

// variant is a server with one kind of telemetry, and its client's.
type variant struct {
	name   string
	srv    *connectum.Server
	client []connect.ClientInterceptor
	link   connect.ServerInterceptor
}

func providers(ratio float64) (*sdktrace.TracerProvider, *sdkmetric.MeterProvider) {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))), sdktrace.WithBatcher(dropping{})),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
}

func newServer(chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Logger: slog.New(slog.DiscardHandler), Interceptors: chain})
	srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: procedure}, Handler: func(_ context.Context, _ connect.Spec, st connect.ServerStream) error {
		in := new(wrapperspb.StringValue)
		if err := st.Receive(in); err != nil {
			return err
		}
		return st.Send(in)
	}})
	return srv
}

// least is the least that any interceptor has to do for the same record: a span
// with as many attributes, all of them prepared, and three measurements, without a
// look at the headers, the peer, the protocol or how the call has ended.
func least(tp trace.TracerProvider, mp metric.MeterProvider) (connect.ServerInterceptor, error) {
	tracer, meter := tp.Tracer("bench"), mp.Meter("bench")
	duration, err := meter.Float64Histogram("rpc.server.call.duration")
	if err != nil {
		return nil, err
	}
	bytes, err := meter.Int64Histogram("rpc.server.request.size")
	if err != nil {
		return nil, err
	}
	kind := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	attrs := []attribute.KeyValue{attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", procedure[1:]), attribute.String("connectum.door", "http"),
		attribute.String("rpc.response.status_code", "OK")}
	set := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	attrs = append(attrs[:4:4], attribute.String("network.peer.address", "10.0.0.7"), attribute.Int("network.peer.port", 51234))
	return func(next connect.ServerFunc) connect.ServerFunc {
		return func(outer context.Context, spec connect.Spec, stream connect.ServerStream) error {
			began := time.Now()
			ctx, span := tracer.Start(outer, procedure[1:], kind...)
			if span.IsRecording() {
				span.SetAttributes(attrs...)
			}
			err := next(ctx, spec, stream)
			duration.Record(ctx, time.Since(began).Seconds(), set...)
			bytes.Record(outer, 1, set...)
			bytes.Record(outer, 1, set...)
			span.End()
			return err
		}
	}, nil
}

func variants() ([]variant, error) {
	all := []variant{{name: "bare", srv: newServer(), link: func(next connect.ServerFunc) connect.ServerFunc { return next }}}
	off, err := telemetry.Start(context.Background(), telemetry.Config{})
	if err != nil {
		return nil, err
	}
	all = append(all, variant{name: "telemetry off", srv: newServer(off.Server()), link: all[0].link})
	for _, r := range []struct {
		name  string
		ratio float64
	}{{"sampled", 1}, {"1 %", 0.01}} {
		tp, mp := providers(r.ratio)
		ours, err := telemetry.Start(context.Background(), telemetry.Config{TracerProvider: tp, MeterProvider: mp})
		if err != nil {
			return nil, err
		}
		tp, mp = providers(r.ratio)
		floor, err := least(tp, mp)
		if err != nil {
			return nil, err
		}
		tp, mp = providers(r.ratio)
		theirs := []otelconnect.Option{otelconnect.WithTracerProvider(tp), otelconnect.WithMeterProvider(mp), otelconnect.WithTrustRemote(),
			otelconnect.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))}
		server, err := otelconnect.NewServerInterceptor(theirs...)
		if err != nil {
			return nil, err
		}
		client, err := otelconnect.NewClientInterceptor(theirs...)
		if err != nil {
			return nil, err
		}
		link, err := ours.Server().Bind(connect.Spec{Procedure: procedure})
		if err != nil {
			return nil, err
		}
		all = append(all,
			variant{"SDK alone " + r.name, newServer(connectum.Wrap("least", floor)), nil, floor},
			variant{"telemetry " + r.name, newServer(ours.Server()), []connect.ClientInterceptor{ours.Client()}, link},
			variant{"otelconnect " + r.name, newServer(connectum.Wrap("otelconnect", server)), []connect.ClientInterceptor{client}, server})
	}
	return all, nil
}

// way is a way of calling; it returns what makes one call.
type way struct {
	name string
	open func(v variant) func() error
}

func ways() []way {
	body, _ := proto.Marshal(wrapperspb.String("twenty-six bytes of request"))
	frame := append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
	post := func(contentType string, body []byte, header http.Header) func(v variant) func() error {
		return func(v variant) func() error {
			h := v.srv.Handler()
			return func() error {
				r := httptest.NewRequest(http.MethodPost, procedure, bytes.NewReader(body))
				r.ProtoMajor, r.ProtoMinor = 2, 0
				r.Header.Set("Content-Type", contentType)
				for k, vs := range header {
					r.Header[k] = vs
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					return fmt.Errorf("%d: %s", w.Code, w.Body)
				}
				return nil
			}
		}
	}
	inproc := func(client bool) func(v variant) func() error {
		return func(v variant) func() error {
			var links []connect.ClientInterceptor
			if client {
				links = v.client
			}
			c := connect.NewClient(v.srv.Transport(), links...)
			req := wrapperspb.String("twenty-six bytes of request")
			return func() error {
				return c.CallUnary(context.Background(), connect.Spec{Procedure: procedure}, req, new(wrapperspb.StringValue))
			}
		}
	}
	alone := func(v variant) func() error {
		server := connect.NewServer(v.link)
		server.Register(connect.Method{Spec: connect.Spec{Procedure: procedure}, Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil }})
		info := &connect.CallInfo{Spec: connect.Spec{Procedure: procedure}, PeerAddr: "10.0.0.7:51234", Protocol: connect.ProtocolNameGRPC}
		return func() error { return server.Call(context.Background(), procedure, info, nothing{}) }
	}
	return []way{
		{"interceptor alone", alone},
		{"gRPC", post("application/grpc", frame, nil)},
		{"gRPC, remote parent", post("application/grpc", frame, http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})},
		{"Connect", post("application/proto", body, nil)},
		{"in-process", inproc(false)},
		{"in-process, client too", inproc(true)},
	}
}

// nothing is a stream without messages.
type nothing struct{}

func (nothing) Receive(any) error  { return io.EOF }
func (nothing) SendHeaders() error { return nil }
func (nothing) Send(any) error     { return nil }

// usage is what a round took, a call.
type usage struct{ cpu, allocs float64 }

func measure(call func() error) (usage, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu()
	for range *calls {
		if err := call(); err != nil {
			return usage{}, err
		}
	}
	used := cpu() - began
	runtime.ReadMemStats(&after)
	n := float64(*calls)
	return usage{float64(used.Nanoseconds()) / n, float64(after.Mallocs-before.Mallocs) / n}, nil
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func run() error {
	all, err := variants()
	if err != nil {
		return err
	}
	fmt.Println("| way | what | added CPU ns | of otelconnect's | added allocs |")
	fmt.Println("|---|---|---|---|---|")
	for _, w := range ways() {
		if *only != "" && w.name != *only {
			continue
		}
		results := map[string][]usage{}
		for round := range *rounds + 1 {
			order := slices.Clone(all)
			slices.SortFunc(order, func(a, b variant) int {
				return (slices.IndexFunc(all, named(a))+round)%len(all) - (slices.IndexFunc(all, named(b))+round)%len(all)
			})
			for _, v := range order {
				u, err := measure(w.open(v))
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, v.name, err)
				}
				if round > 0 { // the first warms up
					results[v.name] = append(results[v.name], u)
				}
			}
		}
		added := func(name string, of func(usage) float64) float64 {
			var diffs []float64
			for i, u := range results[name] {
				diffs = append(diffs, of(u)-of(results["bare"][i]))
			}
			return median(diffs)
		}
		time := func(u usage) float64 { return u.cpu }
		allocs := func(u usage) float64 { return u.allocs }
		for _, v := range all[1:] {
			ratio := ""
			for _, sampling := range []string{" sampled", " 1 %"} {
				if control := "otelconnect" + sampling; strings.HasSuffix(v.name, sampling) && v.name != control {
					ratio = fmt.Sprintf("%.2f", added(v.name, time)/added(control, time))
				}
			}
			fmt.Printf("| %s | %s | %.0f | %s | %.2f |\n", w.name, v.name, added(v.name, time), ratio, added(v.name, allocs))
		}
	}
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func named(v variant) func(variant) bool { return func(o variant) bool { return o.name == v.name } }
