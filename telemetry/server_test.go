package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

const echo = servicePath + "Echo"

// behaviour 125: status, error.type and status code in the words of each
// protocol; the exception with its Go type; what the client is not told.
func TestAnErrorIsRecordedInTheWordsOfItsProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                        string
		err                         error
		grpc, connect               string
		failed                      bool
		exception, exceptionMessage string
	}{
		{name: "a success", grpc: "OK"},
		{name: "the client's fault", err: connect.NewError(connect.CodeNotFound, "no such thing"), grpc: "NOT_FOUND", connect: "not_found"},
		{name: "cancelled", err: connect.NewError(connect.CodeCanceled, "stop"), grpc: "CANCELLED", connect: "canceled"},
		{name: "the server's fault", err: connect.NewError(connect.CodeUnavailable, "try later").WithCause(context.DeadlineExceeded),
			grpc: "UNAVAILABLE", connect: "unavailable", failed: true, exception: "context.deadlineExceededError", exceptionMessage: "context deadline exceeded"},
		{name: "an error of the application", err: fmt.Errorf("load: %w", &lost{"postgres"}), grpc: "INTERNAL", connect: "internal", failed: true,
			exception: "*telemetry_test.lost", exceptionMessage: "load: lost postgres"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.Start(t, telemetry.Config{})
			srv := serve(failing(func() error { return c.err }), rec.Server())
			if c.err == nil {
				srv = serve(testservice.Service{}, rec.Server())
			}
			connectumtest.EachDoor(t, srv, func(t *testing.T, client *connect.Client) {
				rec.Reset()
				_ = methods[0].call(t.Context(), client)
				span := rec.ServerSpan(t, echo)
				want := map[string]string{"grpc": c.grpc, "connectrpc": c.connect}[span.Attributes["rpc.system.name"]]
				if got := span.Attributes["rpc.response.status_code"]; got != want {
					t.Errorf("status code %q, want %q", got, want)
				}
				if c.failed != (span.Status == codes.Error) || c.failed != (span.Attributes["error.type"] == want && want != "") {
					t.Errorf("status %v, error.type %q", span.Status, span.Attributes["error.type"])
				}
				if c.failed {
					connectumtest.Want(t, span.Events, []telemetrytest.Event{{Name: "exception",
						Attributes: map[string]string{"exception.type": c.exception, "exception.message": c.exceptionMessage}}})
				} else if len(span.Events) > 0 {
					t.Errorf("events %v", span.Events)
				}
				labels := map[string]string{"rpc.system.name": span.Attributes["rpc.system.name"], "rpc.method": "connectum.test.v1.TestService/Echo",
					"rpc.response.status_code": want}
				if points := rec.Points(t, "rpc.server.call.duration", labels); len(points) == 0 {
					t.Errorf("no duration with %v: %v", labels, rec.Points(t, "rpc.server.call.duration", nil))
				}
			})
		})
	}
}

type lost struct{ what string }

func (l *lost) Error() string { return "lost " + l.what }

// behaviour 121: requests, answers and errors pass as they are; what the filter
// leaves out has neither span nor metrics, and no link in its chain.
func TestTheFilterLeavesProceduresOut(t *testing.T) {
	t.Parallel()
	var asked []connect.Spec
	rec := telemetrytest.Start(t, telemetry.Config{Filter: func(spec connect.Spec) bool {
		asked = append(asked, spec)
		return spec.Procedure != echo
	}})
	srv := serve(testservice.Service{}, rec.Server())
	client := connectumtest.Client(t, srv)
	for _, m := range methods {
		if err := m.call(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	rec.Await(t, 3)
	for _, s := range rec.Spans() {
		if s.Name == echo[1:] {
			t.Errorf("a span of %s", s.Name)
		}
	}
	if points := rec.Points(t, "", map[string]string{"rpc.method": echo[1:]}); len(points) > 0 {
		t.Errorf("points %v", points)
	}
	if !slices.ContainsFunc(asked, func(s connect.Spec) bool {
		return s.Procedure == servicePath+"Chat" && s.StreamType == connect.StreamTypeBidi
	}) {
		t.Errorf("the filter was asked about %v", asked)
	}
	if chain := srv.Chain(echo); slices.Contains(chain, "telemetry") {
		t.Errorf("the chain has a link: %v", chain)
	}
	if chain := srv.Chain(servicePath + "Sum"); !slices.Contains(chain, "telemetry") {
		t.Errorf("the chain has no link: %v", chain)
	}
}

// behaviour 122: traces alone, metrics alone, neither.
func TestSignalsAreOnOneByOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  telemetry.Config
		link bool
	}{
		{"nothing configured", telemetry.Config{}, false},
		{"traces", telemetry.Config{Traces: telemetry.Console, Output: io.Discard}, true},
		{"metrics", telemetry.Config{Metrics: telemetry.Prometheus}, true},
		{"logs", telemetry.Config{Logs: telemetry.Console, Output: io.Discard}, false},
		{"none of them", telemetry.Config{Traces: telemetry.None, Metrics: telemetry.None, Logs: telemetry.None}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Logger = quiet
			tel, err := telemetry.Start(t.Context(), c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tel.Shutdown(context.Background()) }()
			srv := serve(testservice.Service{}, tel.Server())
			if slices.Contains(srv.Chain(echo), "telemetry") != c.link {
				t.Errorf("chain %v", srv.Chain(echo))
			}
			if err := methods[0].call(t.Context(), connect.NewClient(srv.Transport(), tel.Client())); err != nil {
				t.Error(err)
			}
		})
	}
}

// behaviour 123: attributes are all kept, none, or chosen; the door stays.
func TestAttributesAreChosen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keep func(attribute.Key) bool
		want []string
	}{
		"all":    {nil, []string{"connectum.door", "network.peer.address", "network.peer.port", "rpc.method", "rpc.response.status_code", "rpc.system.name"}},
		"none":   {func(attribute.Key) bool { return false }, []string{"connectum.door"}},
		"chosen": {func(k attribute.Key) bool { return k == "rpc.method" }, []string{"connectum.door", "rpc.method"}},
	} {
		for _, early := range []bool{false, true} {
			rec := telemetrytest.Start(t, telemetry.Config{KeepAttribute: c.keep, AttributesAtStart: early})
			run := connectumtest.Start(t, serve(testservice.Service{}, rec.Server()))
			if err := methods[0].call(t.Context(), run.GRPC()); err != nil {
				t.Fatal(err)
			}
			connectumtest.Want(t, keys(rec.ServerSpan(t, echo).Attributes), c.want)
			var labels []string
			for _, key := range c.want {
				if key[:4] != "netw" {
					labels = append(labels, key)
				}
			}
			if got := keys(rec.Point(t, "rpc.server.call.duration", nil).Labels); !slices.Equal(got, labels) {
				t.Errorf("%s: labels %v, want %v", name, got, labels)
			}
		}
	}
}

// A sampler sees the name and the kind, and the attributes when it asks for them.
func TestASamplerSeesTheAttributesAtTheStart(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		s := new(curious)
		rec := telemetrytest.Start(t, telemetry.Config{Sampler: s, AttributesAtStart: early})
		srv := serve(testservice.Service{}, rec.Server())
		if err := methods[0].call(t.Context(), connectumtest.Client(t, srv)); err != nil {
			t.Fatal(err)
		}
		rec.ServerSpan(t, echo)
		if s.seen.Name != "connectum.test.v1.TestService/Echo" || s.seen.Kind != trace.SpanKindServer || (len(s.seen.Attributes) == 3) != early {
			t.Errorf("%v: the sampler saw %v", early, s.seen)
		}
	}
}

type curious struct{ seen sdktrace.SamplingParameters }

func (c *curious) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	c.seen = p
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}
func (c *curious) Description() string { return "curious" }

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// behaviour 124: a trusted caller's trace goes on, another's is linked; baggage
// of strangers is dropped, and what is inside goes on in either case.
func TestRemoteTracesAreContinuedOrLinked(t *testing.T) {
	t.Parallel()
	for _, link := range []bool{false, true} {
		t.Run(fmt.Sprintf("link %v", link), func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.Start(t, telemetry.Config{LinkRemote: link})
			run := connectumtest.Start(t, serve(testservice.Service{}, rec.Server()))
			for _, client := range []*connect.Client{run.GRPC(), run.Connect(), run.GRPCWeb()} {
				rec.Reset()
				ctx, info := connect.NewClientContext(t.Context())
				info.RequestHeader().Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
				if err := methods[0].call(ctx, client); err != nil {
					t.Fatal(err)
				}
				span := rec.ServerSpan(t, echo)
				if link {
					if span.ParentID != "" || span.TraceID == "0af7651916cd43dd8448eb211c80319c" || !slices.Equal(span.Links, []string{"b7ad6b7169203331"}) {
						t.Errorf("not linked: %+v", span)
					}
				} else if span.ParentID != "b7ad6b7169203331" || span.TraceID != "0af7651916cd43dd8448eb211c80319c" || !span.ParentRemote || len(span.Links) > 0 {
					t.Errorf("not continued: %+v", span)
				}
			}
		})
	}
}

// behaviours 126 and 134: a stream is one call, from its first byte to its last.
func TestAStreamIsMeasuredForItsWholeLife(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rec := telemetrytest.Start(t, telemetry.Config{})
			srv := serve(testservice.Service{OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
				for n := range int64(10) {
					time.Sleep(time.Second) // of the bubble
					if err := s.Send(&testv1.CountResponse{Number: n}); err != nil {
						return err
					}
				}
				if broken {
					return errors.New("the tenth was one too many")
				}
				return nil
			}}, rec.Server())
			client := connect.NewClient(srv.Transport(), rec.Client())
			if err := methods[2].call(t.Context(), client); (err != nil) != broken {
				t.Error(err)
			}
			for _, span := range rec.Await(t, 2) {
				if d := span.End.Sub(span.Start); d != 10*time.Second {
					t.Errorf("the span of the %s took %v", span.Kind, d)
				}
				if failed := span.Status == codes.Error; failed != broken {
					t.Errorf("the span of the %s: %v", span.Kind, span.Status)
				}
			}
			for _, side := range []string{"server", "client"} {
				duration := rec.Point(t, "rpc."+side+".call.duration", nil)
				if duration.Sum != 10 || (duration.Labels["error.type"] == "internal") != broken {
					t.Errorf("%s: %v", side, duration)
				}
				if p := rec.Point(t, "rpc."+side+".responses_per_rpc", nil); p.Sum != 10 {
					t.Errorf("%v", p)
				}
				if p := rec.Point(t, "rpc."+side+".requests_per_rpc", nil); p.Sum != 1 {
					t.Errorf("%v", p)
				}
			}
		})
	}
}

// behaviour 126: an empty stream, one that its client leaves early by Close, and
// one whose context ends, all end their spans.
func TestStreamsThatAreLeftEarlyEnd(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	srv := serve(testservice.Service{OnChat: func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
		if err := s.Send(&testv1.ChatResponse{}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}}, rec.Server())
	run := connectumtest.Start(t, srv)
	for _, door := range run.Doors() {
		if door.HalfDuplex {
			continue
		}
		for _, how := range []string{"close", "cancel"} {
			t.Run(door.Name+" "+how, func(t *testing.T) {
				rec.Reset()
				to, err := door.Open(t.Context(), srv)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream, err := testv1connect.NewTestServiceClient(connect.NewClient(to, rec.Client())).Chat(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&testv1.ChatRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Receive(); err != nil {
					t.Fatal(err)
				}
				if how == "close" {
					_ = stream.Close()
				} else {
					cancel()
					rec.ClientSpan(t, servicePath+"Chat") // ends by the context alone
					_ = stream.Close()                    // net/http tells the server no earlier
				}
				rec.Await(t, 2)
				for _, s := range []telemetrytest.Span{rec.ClientSpan(t, servicePath+"Chat"), rec.ServerSpan(t, servicePath+"Chat")} {
					if code := s.Attributes["rpc.response.status_code"]; code != "canceled" && code != "CANCELLED" {
						t.Errorf("the %s's ended as %q", s.Kind, code)
					}
				}
			})
		}
	}
}

// behaviour 134: sizes are those on the wire, and client and server agree.
func TestSizesAreThoseOnTheWire(t *testing.T) {
	t.Parallel()
	build := func(rec *telemetrytest.Recorder) *connectum.Server { return serve(testservice.Service{}, rec.Server()) }
	for _, door := range connectumtest.Start(t, build(telemetrytest.Start(t, telemetry.Config{}))).Doors() {
		for _, m := range methods {
			if door.HalfDuplex && m.kind == connect.StreamTypeBidi {
				continue
			}
			t.Run(door.Name+" "+m.name, func(t *testing.T) {
				rec := telemetrytest.Start(t, telemetry.Config{})
				srv := build(rec)
				run := connectumtest.Start(t, srv)
				i := slices.IndexFunc(run.Doors(), func(d connectumtest.Door) bool { return d.Name == door.Name })
				to, err := run.Doors()[i].Open(t.Context(), srv)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.call(t.Context(), connect.NewClient(to, rec.Client())); err != nil {
					t.Fatal(err)
				}
				rec.Await(t, 2)
				for _, size := range []string{"request.size", "response.size"} {
					server, client := rec.Point(t, "rpc.server."+size, nil), rec.Point(t, "rpc.client."+size, nil)
					if server.Sum == 0 || server.Sum != client.Sum {
						t.Errorf("%s: the server has %v, the client %v", size, server.Sum, client.Sum)
					}
				}
			})
		}
	}
}

// Calls whose verdict is the server's own: the time is up, the call is ended
// from outside.
func TestTheVerdictIsTheServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := telemetrytest.Start(t, telemetry.Config{})
		srv := connectum.New(connectum.Config{Logger: quiet, Interceptors: []connectum.Interceptor{rec.Server()}, Limits: connectum.Limits{Timeout: time.Second}})
		testservice.Service{
			OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				<-ctx.Done()
				return nil, errors.New("gave up")
			},
			OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
				connectum.End(ctx, connect.NewError(connect.CodeUnavailable, "go away"))
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}.Register(srv.RPC())
		client := testv1connect.NewTestServiceClient(connectumtest.Client(t, srv))
		_, err := client.Echo(t.Context(), &testv1.EchoRequest{})
		if got := rec.ServerSpan(t, echo).Attributes["rpc.response.status_code"]; got != "deadline_exceeded" || connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("recorded %s, told %v", got, err)
		}
		_, err = client.Get(t.Context(), &testv1.GetRequest{})
		if got := rec.ServerSpan(t, servicePath+"Get").Attributes["rpc.response.status_code"]; got != "unavailable" || connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("recorded %s, told %v", got, err)
		}
	})
}

// An unknown procedure never becomes a label or the name of a span, also where
// the application answers for them.
func TestUnknownProceduresAreOther(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	srv := serve(testservice.Service{}, rec.Server())
	srv.RPC().SetUnknownHandler(func(context.Context, connect.Spec, connect.ServerStream) error {
		return connect.NewError(connect.CodeUnimplemented, "not here")
	})
	client := connectumtest.Client(t, srv)
	for n := range 100 {
		_ = client.CallUnary(t.Context(), connect.Spec{Procedure: fmt.Sprintf("/no.Service/Method%d", n)}, &testv1.EchoRequest{}, &testv1.EchoResponse{})
	}
	spans := rec.Await(t, 100)
	if s := spans[42]; s.Name != "connectrpc" || s.Attributes["rpc.method"] != "_OTHER" || s.Attributes["rpc.method_original"] != "no.Service/Method42" {
		t.Errorf("%+v", s)
	}
	if p := rec.Point(t, "rpc.server.call.duration", nil); p.Count != 100 || p.Labels["rpc.method"] != "_OTHER" {
		t.Errorf("%v", p)
	}
}

// A call counts once for its client, however many attempts it takes.
func TestAttemptsAreOneCall(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.Start(t, telemetry.Config{})
	var mu sync.Mutex
	tries := 0
	srv := serve(testservice.Service{OnGet: func(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries < 3 {
			return nil, connect.NewError(connect.CodeUnavailable, "not yet")
		}
		return &testv1.GetResponse{Text: req.GetText()}, nil
	}}, rec.Server())
	run := connectumtest.Start(t, srv)
	client := connect.NewClient(transport(t, run, srv, "grpc h2c"), interceptor.ClientDefaults(interceptor.ClientConfig{
		Telemetry: rec.Client(), Retry: newRetry(),
	})...)
	if _, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), &testv1.GetRequest{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	rec.Await(t, 4)
	span := rec.ClientSpan(t, servicePath+"Get")
	if span.Status == codes.Error || span.Attributes["rpc.system.name"] != "grpc" || span.Attributes["server.address"] != "127.0.0.1" {
		t.Errorf("%+v", span)
	}
	for _, s := range rec.Spans() {
		if s.Kind == trace.SpanKindServer && s.ParentID != span.SpanID {
			t.Errorf("an attempt is not within the call: %+v", s)
		}
	}
	if p := rec.Point(t, "rpc.client.call.duration", nil); p.Count != 1 {
		t.Errorf("%v", p)
	}
	if p := rec.Point(t, "rpc.client.request.size", nil); p.Sum == 0 {
		t.Errorf("%v", p)
	}
}
