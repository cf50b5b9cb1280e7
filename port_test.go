package connectum_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviours 33, 36 and 59: one port, in plaintext or under the server's own TLS,
// answers every protocol over both versions of HTTP, and all kinds of call.
func TestOnePortAnswersEveryProtocol(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	pair := ca.Server(t)
	for name, c := range map[string]struct {
		tls connectum.TLS
		run doors.Config
	}{
		"plaintext": {},
		"TLS":       {connectum.TLS{CertPEM: pair.CertPEM, KeyPEM: pair.KeyPEM}, doors.Config{TLS: &tls.Config{RootCAs: ca.Pool()}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := map[string]bool{}
			cfg := quiet()
			cfg.TLS = c.tls
			cfg.Middleware = []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					seen[r.Proto+" "+r.Header.Get("Content-Type")+" TLS "+strconv.FormatBool(r.TLS != nil)] = true
					mu.Unlock()
					next.ServeHTTP(w, r)
				})
			}}
			srv := connectum.New(cfg)
			testservice.Service{}.Register(srv.RPC())
			r := doors.Start(t, srv, c.run)
			r.Each(t, func(t *testing.T, client *connect.Client) { callEachKind(t, client) })
			r.EachBidi(t, func(t *testing.T, client *connect.Client) { chat(t, client) })
			for _, want := range []string{
				"HTTP/1.1 application/json", "HTTP/1.1 application/connect+json", "HTTP/1.1 application/proto", "HTTP/1.1 application/connect+proto",
				"HTTP/1.1 application/grpc-web+proto", "HTTP/2.0 application/proto", "HTTP/2.0 application/connect+proto",
				"HTTP/2.0 application/grpc-web+proto", "HTTP/2.0 application/grpc",
			} {
				if want += " TLS " + strconv.FormatBool(name == "TLS"); !seen[want] {
					t.Errorf("the server has not seen %s", want)
				}
			}
		})
	}
}

// The whole server stands in a mux of somebody else's, under a server that is not
// ours: every protocol that it speaks, plain HTTP, infrastructure, and what nobody
// serves. (docs/server.md lists what is then that server's.)
// What is no call gets the answers of HTTP, whatever it carries.
func TestOtherHTTPIsNotTakenForCalls(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	srv.Handle("GET /version", http.NotFoundHandler())
	in := run(t, srv)
	for _, c := range []struct {
		path, contentType string
		version           string // of Connect, that the client says
		status            int
		body              string
	}{
		{"/version", "application/x-www-form-urlencoded", "", 405, "Method Not Allowed\n"},
		{"/version", "application/json", "", 405, "Method Not Allowed\n"},
		{"/forms", "application/x-www-form-urlencoded", "", 404, "404 page not found\n"},
		{"/hooks/in", "application/xml", "", 404, "404 page not found\n"},
		{"/files", "application/octet-stream", "", 404, "404 page not found\n"},
		{"/a.b/c", "application/cloudevents+json", "", 404, "404 page not found\n"},
		{"/api/things", "Application/JSON; charset=utf-8", "", 404, "404 page not found\n"},
		// The controls: calls of procedures that nobody has.
		{"/a.v1.B/C", "Application/JSON; charset=utf-8", "", 404, `{"code":"unimplemented","message":"the server has no such procedure"}`},
		{"/B/C", "application/json", "1", 404, `{"code":"unimplemented","message":"the server has no such procedure"}`},
		{"/B/C", "application/proto", "", 404, `{"code":"unimplemented","message":"the server has no such procedure"}`},
		{"/B/C", "application/thrift", "1", 404, `{"code":"unimplemented","message":"the server has no such procedure"}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, in.url(c.path), strings.NewReader("a=b"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.contentType)
		if c.version != "" {
			req.Header.Set("Connect-Protocol-Version", c.version)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.status || string(body) != c.body {
			t.Errorf("POST %s of %s: %d, %q, %v; want %d, %q", c.path, c.contentType, res.StatusCode, body, err, c.status, c.body)
		}
	}
}

func TestAServerIsEmbedded(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	srv.Handle("GET /hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	srv.HandleSystem("GET /probe", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") }))
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler())
	mux.HandleFunc("GET /theirs", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "theirs") })
	host := httptest.NewUnstartedServer(mux)
	host.Config.Protocols = new(http.Protocols)
	host.Config.Protocols.SetHTTP1(true)
	host.Config.Protocols.SetUnencryptedHTTP2(true)
	host.Start()
	t.Cleanup(host.Close)
	in := &instance{Server: srv, t: t}
	h1, h2 := in.h1(), in.h2()
	for name, tr := range map[string]connect.Transport{
		"connect json http1": connecthttp.NewTransport(h1, host.URL, connecthttp.WithProtoJSON()), "grpcweb http1": connecthttp.NewTransport(h1, host.URL, connecthttp.WithGRPCWeb()),
		"connect h2c": connecthttp.NewTransport(h2, host.URL), "grpc h2c": connecthttp.NewTransport(h2, host.URL, connecthttp.WithGRPC()),
	} {
		t.Run(name, func(t *testing.T) {
			c := connect.NewClient(tr)
			callEachKind(t, c)
			if strings.HasSuffix(name, "h2c") {
				chat(t, c)
			}
			err := c.CallUnary(t.Context(), connect.Spec{Procedure: "/no.such.Service/Call"}, new(testv1.GetRequest), new(testv1.GetResponse))
			if connect.CodeOf(err) != connect.CodeUnimplemented {
				t.Errorf("an unknown procedure: %v", err)
			}
		})
	}
	for path, want := range map[string]string{"/hello": "hello", "/probe": "well", "/theirs": "theirs", "/nope": "404 page not found\n"} {
		res, err := h1.Get(host.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, res); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	eventually(t, "nothing is in flight", func() bool { return srv.InFlight() == 0 })
}

// callEachKind makes calls that half duplex carries.
func callEachKind(t *testing.T, c *connect.Client) {
	t.Helper()
	client := testv1connect.NewTestServiceClient(c)
	res, err := client.Echo(t.Context(), &testv1.EchoRequest{Text: "a", Count: 2})
	if err != nil || res.GetText() != "aa" {
		t.Errorf("unary: %v, %v", res, err)
	}
	sum, err := client.Sum(t.Context())
	for n := range int64(4) {
		if err == nil {
			err = sum.Send(&testv1.SumRequest{Number: n})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if total, err := sum.CloseAndReceive(); err != nil || total.GetSum() != 6 || total.GetCount() != 4 {
		t.Errorf("client stream: %v, %v", total, err)
	}
	count, err := client.Count(t.Context(), &testv1.CountRequest{Count: 5})
	var got []int64
	for err == nil {
		var res *testv1.CountResponse
		if res, err = count.Receive(); err == nil {
			got = append(got, res.GetNumber())
		}
	}
	if !errors.Is(err, io.EOF) || !slices.Equal(got, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("server stream: %v, %v", got, err)
	}
	// One that stops reading early is not held up, and the next call is served.
	ctx, cancel := context.WithCancel(t.Context())
	count, err = client.Count(ctx, &testv1.CountRequest{Count: 1 << 30})
	if err == nil {
		_, err = count.Receive()
	}
	if err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := client.Get(t.Context(), &testv1.GetRequest{}); err != nil {
		t.Error(err)
	}
}

func chat(t *testing.T, c *connect.Client) {
	t.Helper()
	stream, err := testv1connect.NewTestServiceClient(c).Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(3) { // each is answered before the next is sent
		if err := stream.Send(&testv1.ChatRequest{Number: n}); err != nil {
			t.Fatal(err)
		}
		if res, err := stream.Receive(); err != nil || res.GetNumber() != n {
			t.Fatalf("bidi stream: %v, %v", res, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("bidi stream: the end is %v", err)
	}
}

// Behaviour 15: what New was given can be changed by nobody.
func TestAConfigIsCopied(t *testing.T) {
	t.Parallel()
	counted := 0
	count := connectum.Wrap("count", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, s connect.ServerStream) error {
			counted++
			return next(ctx, spec, s)
		}
	})
	cfg := quiet()
	cfg.Interceptors = []connectum.Interceptor{count}
	cfg.Limits.PerProcedure = map[string]connectum.ProcedureLimits{}
	cfg.Middleware = make([]func(http.Handler) http.Handler, 0, 1)
	srv := connectum.New(cfg)
	if n := len(slices.Collect(srv.Procedures())); n != 0 {
		t.Errorf("a new server has %d procedures", n)
	}
	if chain := srv.Chain("/a.B/C"); chain != nil {
		t.Errorf("the chain of no procedure is %v", chain)
	}

	srv = connectum.New(cfg)
	cfg.Interceptors[0] = connectum.Interceptor{}
	cfg.Limits.PerProcedure["no.Such/Procedure"] = connectum.ProcedureLimits{}
	_ = append(cfg.Middleware, nil)
	testservice.Service{}.Register(srv.RPC())
	if _, err := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport())).Echo(t.Context(), &testv1.EchoRequest{}); err != nil || counted != 1 {
		t.Errorf("%v, counted %d", err, counted)
	}
	chain := srv.Chain(echoPath)
	if !slices.Equal(chain, []string{"guard", "count"}) {
		t.Errorf("chain %v", chain)
	}
	chain[1] = "changed"
	if again := srv.Chain(echoPath); again[1] != "count" {
		t.Error("a caller has changed the chain")
	}
}

// Behaviour 43: JSON leaves out what has its zero value, unless a codec of one's
// own says otherwise; its limits are those of the server all the same.
func TestJSONIsShapedByACodec(t *testing.T) {
	t.Parallel()
	full := connectproto.NewJSONCodec()
	full.MarshalOptions.EmitUnpopulated = true
	for want, codecs := range map[string][]connect.Codec{`{}`: nil, `"text":""`: {full}} {
		cfg := quiet()
		cfg.Codecs = codecs
		cfg.Limits.MaxJSONBytes = 1 << 10
		in := serving(t, cfg, testservice.Service{})
		got := body(t, post(t, in.h1(), in.url(echoPath), "application/json", "{}"))
		if !strings.Contains(strings.ReplaceAll(got, " ", ""), want) {
			t.Errorf("%s, want %s", got, want)
		}
		large := `{"text":"` + strings.Repeat("x", 2<<10) + `"}`
		if got := body(t, post(t, in.h1(), in.url(echoPath), "application/json", large)); !strings.Contains(got, "resource_exhausted") {
			t.Errorf("over the limit: %s", got)
		}
	}
}

// Behaviour 44: what With adds is for the services on its dispatcher, inside of
// what all have.
func TestWithIsForItsOwnServices(t *testing.T) {
	t.Parallel()
	var j journal
	note := func(name string) connectum.Interceptor {
		return connectum.Wrap(name, func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, s connect.ServerStream) error {
				j.add(name)
				return next(ctx, spec, s)
			}
		})
	}
	other := connect.Method{Spec: connect.Spec{Procedure: "/other.v1.Service/Call"}, Handler: func(_ context.Context, _ connect.Spec, s connect.ServerStream) error {
		if err := s.Receive(new(testv1.GetRequest)); err != nil {
			return err
		}
		return s.Send(new(testv1.GetResponse))
	}}
	cfg := quiet()
	cfg.Interceptors = []connectum.Interceptor{note("all")}
	srv := connectum.New(cfg)
	testservice.Service{}.Register(srv.With(note("own")))
	srv.RPC().Register(other)
	doors.EachBidi(t, srv, func(t *testing.T, c *connect.Client) {
		j = journal{}
		callEachKind(t, c)
		chat(t, c)
		if got, want := j.String(), strings.TrimSpace(strings.Repeat("all own ", 6)); got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
		j = journal{}
		if err := c.CallUnary(t.Context(), other.Spec, new(testv1.GetRequest), new(testv1.GetResponse)); err != nil || j.String() != "all" {
			t.Errorf("the other service: %v, ran %q", err, j.String())
		}
	})
}

// Behaviour 48: which door a call came by is not for its client to say.
func TestADoorCannotBeForged(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		return &testv1.EchoResponse{Text: string(connectum.DoorOf(ctx))}, nil
	}}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, c *connect.Client) {
		ctx, info := connect.NewClientContext(t.Context())
		for _, name := range []string{"Door", "X-Door", "Connectum-Door", "x-connectum-door", "X-InProcess", "In-Process", "x-LOCAL-transport"} {
			info.RequestHeader().Set(name, string(connectum.DoorInProcess))
		}
		res, err := testv1connect.NewTestServiceClient(c).Echo(ctx, &testv1.EchoRequest{})
		want := string(connectum.DoorHTTP)
		if strings.HasSuffix(t.Name(), "in-process") {
			want = string(connectum.DoorInProcess)
		}
		if err != nil || res.GetText() != want {
			t.Errorf("door %q, %v, want %q", res.GetText(), err, want)
		}
	})
}
