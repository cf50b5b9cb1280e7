package resilience_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestMain(m *testing.M) { leak.Main(m) }

const service = "/connectum.test.v1.TestService/"

var kinds = []connect.StreamType{connect.StreamTypeUnary, connect.StreamTypeClient, connect.StreamTypeServer, connect.StreamTypeBidi}

// procedures are those of the kinds.
var procedures = map[connect.StreamType]string{
	connect.StreamTypeUnary: service + "Echo", connect.StreamTypeClient: service + "Sum",
	connect.StreamTypeServer: service + "Count", connect.StreamTypeBidi: service + "Chat",
}

// server returns a server of TestService whose handlers do step when they have
// read their first request, and then answer it. A nil step does nothing.
func server(step func(ctx context.Context) error, interceptors ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{
		Logger: slog.New(slog.DiscardHandler), Interceptors: interceptors, Limits: connectum.Limits{Timeout: -1},
	})
	stepping(step).Register(srv.RPC())
	return srv
}

func stepping(step func(ctx context.Context) error) testservice.Service {
	if step == nil {
		step = func(context.Context) error { return nil }
	}
	return testservice.Service{
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{Text: req.GetText()}, step(ctx)
		},
		OnGet: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
			return &testv1.GetResponse{Text: req.GetText()}, step(ctx)
		},
		OnSum: func(ctx context.Context, stream testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			res := new(testv1.SumResponse)
			for {
				req, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					return res, nil
				}
				if err == nil && res.Count == 0 {
					err = step(ctx)
				}
				if err != nil {
					return nil, err
				}
				res.Count++
				res.Sum += req.GetNumber()
			}
		},
		OnCount: func(ctx context.Context, req *testv1.CountRequest, stream testv1connect.TestServiceCountServerStream) error {
			if err := step(ctx); err != nil {
				return err
			}
			return stream.Send(&testv1.CountResponse{Number: 1, Text: req.GetText()})
		},
		OnChat: func(ctx context.Context, stream testv1connect.TestServiceChatServerStream) error {
			for first := true; ; first = false {
				req, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err == nil && first {
					err = step(ctx)
				}
				if err != nil {
					return err
				}
				if err := stream.Send(&testv1.ChatResponse{Text: req.GetText()}); err != nil {
					return err
				}
			}
		},
	}
}

// call makes one whole call of that kind with one request.
func call(ctx context.Context, client *connect.Client, kind connect.StreamType) error {
	c := testv1connect.NewTestServiceClient(client)
	switch kind {
	case connect.StreamTypeUnary:
		_, err := c.Echo(ctx, &testv1.EchoRequest{Text: "a"})
		return err
	case connect.StreamTypeClient:
		stream, err := c.Sum(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&testv1.SumRequest{Number: 1}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = stream.CloseAndReceive()
		return err
	case connect.StreamTypeServer:
		stream, err := c.Count(ctx, &testv1.CountRequest{Text: "a"})
		if err != nil {
			return err
		}
		defer stream.Close()
		return drain(stream.Receive)
	default:
		stream, err := c.Chat(ctx)
		if err != nil {
			return err
		}
		defer stream.Close()
		if err := stream.Send(&testv1.ChatRequest{Text: "a"}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		return drain(stream.Receive)
	}
}

// get makes a call of the method without side effects.
func get(ctx context.Context, client *connect.Client) error {
	_, err := testv1connect.NewTestServiceClient(client).Get(ctx, &testv1.GetRequest{Text: "a"})
	return err
}

func drain[M any](receive func() (M, error)) error {
	for {
		if _, err := receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// doorway is a door of a server that runs, under fake time.
type doorway struct {
	connectumtest.Door
	t   *testing.T
	srv *connectum.Server
}

// client returns a client that calls through the door and these interceptors.
func (d doorway) client(interceptors ...connect.ClientInterceptor) *connect.Client {
	d.t.Helper()
	transport, err := d.Open(d.t.Context(), d.srv)
	if err != nil {
		d.t.Fatal(err)
	}
	return connect.NewClient(transport, interceptors...)
}

// has reports whether streams of that kind go through the door.
func (d doorway) has(kind connect.StreamType) bool {
	return kind != connect.StreamTypeBidi || !d.HalfDuplex
}

// eachDoor runs f for every door to the server that make makes, in memory and
// under fake time. What make makes beside the server is given to f.
func eachDoor[X any](t *testing.T, make func() (*connectum.Server, X), f func(t *testing.T, d doorway, x X)) {
	t.Helper()
	for i, name := range doorNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv, x := make()
				run := connectumtest.Start(t, srv, connectumtest.InMemory())
				f(t, doorway{run.Doors()[i], t, srv}, x)
			})
		})
	}
}

func doorNames(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, d := range connectumtest.Start(t, server(nil)).Doors() {
		names = append(names, d.Name)
	}
	if len(names) < 9 {
		t.Fatalf("only %d doors: %v", len(names), names)
	}
	return names
}

// metrics returns the samples of f by name and labels: `name{label="value"}`.
func metrics(srv *connectum.Server) map[string]float64 {
	out := map[string]float64{}
	for m := range srv.Metrics() {
		name := m.Name
		for _, l := range m.Labels {
			name += "," + l.Name + "=" + l.Value
		}
		if _, twice := out[name]; twice {
			panic("twice: " + name)
		}
		out[name] = m.Value
	}
	return out
}

// calls runs calls beside the test and keeps their errors.
type calls struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func (c *calls) start(f func() error) {
	c.wg.Go(func() {
		err := f()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.errs = append(c.errs, err)
	})
}

// wait returns the errors of the calls, nil for each that succeeded, in the order
// of their end.
func (c *calls) wait() []error {
	c.wg.Wait()
	return c.errs
}

// failed returns the errors that are none of nil.
func failed(errs []error) []error {
	var out []error
	for _, err := range errs {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// gate lets handlers through one after the other, or all.
type gate struct {
	entered chan struct{} // one for each handler that came
	pass    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1000), pass: make(chan struct{})} }

// step waits for the gate to open, or the end of the call.
func (g *gate) step(ctx context.Context) error {
	g.entered <- struct{}{}
	select {
	case <-g.pass:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) open()     { close(g.pass) }
func (g *gate) one()      { g.pass <- struct{}{} }
func (g *gate) came() int { return len(g.entered) }

// emptyService is a service of one unary method, Nothing.
func emptyService() protoreflect.ServiceDescriptor {
	return testv1.File_connectum_test_v1_test_proto.Services().ByName("EmptyService")
}

func nothing(ctx context.Context, client *connect.Client) error {
	_, err := testv1connect.NewEmptyServiceClient(client).Nothing(ctx, &testv1.NothingRequest{})
	return err
}
