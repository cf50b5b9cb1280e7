package connectum_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Faults 1a: sizes are bounded after decompression, in every protocol, and the
// server goes on.
func TestMessagesOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Limits.MaxReceiveBytes, cfg.Limits.MaxJSONBytes, cfg.Limits.MaxSendBytes = 64<<10, 16<<10, 32<<10
	in := serving(t, cfg, testservice.Service{})
	echo := func(c *connect.Client, size, count int) error {
		_, err := testv1connect.NewTestServiceClient(c).Echo(t.Context(), &testv1.EchoRequest{Text: strings.Repeat("x", size), Count: int32(count)})
		return err
	}
	for name, opts := range map[string][]connecthttp.Option{
		"connect": {}, "json": {connecthttp.WithProtoJSON()}, "grpc": {connecthttp.WithGRPC()}, "grpcweb": {connecthttp.WithGRPCWeb()},
	} {
		for _, gz := range []bool{false, true} {
			if gz {
				opts = append(opts, connecthttp.WithSendGzip())
			}
			c := in.connect(in.h2(), opts...)
			if err := echo(c, 10<<10, 1); err != nil {
				t.Errorf("%s, gzip %v: a message within the limit: %v", name, gz, err)
			}
			size := 65 << 10
			if name == "json" {
				size = 17 << 10
			}
			if err := echo(c, size, 1); connect.CodeOf(err) != connect.CodeResourceExhausted {
				t.Errorf("%s, gzip %v: a message over the limit: %v", name, gz, err)
			}
		}
		// Without gzip for the answer, which is the size that counts.
		c := in.connect(in.h2(), append(opts, connecthttp.WithCompressors())[len(opts):]...)
		if err := echo(c, 10<<10, 4); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: an answer over the limit: %v", name, err)
		}
	}

	// A bomb: 8 MiB of zeros in some KiB.
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	_, _ = zw.Write(make([]byte, 8<<20))
	_ = zw.Close()
	req, _ := http.NewRequest("POST", in.url("/connectum.test.v1.TestService/Echo"), &bomb)
	req.Header.Set("Content-Type", "application/proto")
	req.Header.Set("Content-Encoding", "gzip")
	res, err := in.h1().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, res); !strings.Contains(got, "resource_exhausted") {
		t.Errorf("a gzip bomb: %s", got)
	}
	// A prefix that lies about 4 GiB.
	lie := binary.BigEndian.AppendUint32([]byte{0}, 1<<32-1)
	res = post(t, in.h2(), in.url("/connectum.test.v1.TestService/Echo"), "application/grpc", string(lie))
	_ = body(t, res)
	if got := res.Trailer.Get("Grpc-Status"); got != "8" {
		t.Errorf("a lying prefix: status %q", got)
	}
}

// Fault 1a, amplification: large messages share a budget; what finds no room is
// refused, and room comes back when calls end, well or not.
func TestLargeMessagesShareTheDecodeBudget(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Limits.DecodeBudget = 8 * 100 << 10 // one proto message of 100 KiB
	began, release := make(chan struct{}, 10), make(chan struct{})
	const fails, panics = 1, 2
	in := serving(t, cfg, testservice.Service{OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		switch {
		case req.GetCount() == fails:
			return nil, connect.NewError(connect.CodeAborted, "no")
		case req.GetCount() == panics:
			panic("no")
		case len(req.GetText()) > 0:
			began <- struct{}{}
			<-release
		}
		return &testv1.EchoResponse{}, nil
	}})
	client := testv1connect.NewTestServiceClient(in.connect(in.h2()))
	large := &testv1.EchoRequest{Text: strings.Repeat("x", 90<<10)}
	first := make(chan error, 1)
	go func() { _, err := client.Echo(context.Background(), large); first <- err }()
	<-began
	if _, err := client.Echo(t.Context(), large); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a second large message: %v", err)
	}
	if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
		t.Errorf("a small message: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for range 3 { // nothing was lost of it
		if _, err := client.Echo(t.Context(), large); err != nil {
			t.Error(err)
		}
		for count, want := range map[int32]connect.Code{fails: connect.CodeAborted, panics: connect.CodeInternal} {
			if _, err := client.Echo(t.Context(), &testv1.EchoRequest{Text: large.GetText(), Count: count}); connect.CodeOf(err) != want {
				t.Errorf("want %v: %v", want, err)
			}
		}
	}
}

func TestCallsOverTheLimitInFlightAreRefusedAndInfrastructureIsNot(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Limits.MaxInFlight = 1
	began, release := make(chan struct{}), make(chan struct{})
	srv := connectum.New(cfg)
	testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		began <- struct{}{}
		<-release
		return &testv1.EchoResponse{}, nil
	}}.Register(srv.RPC())
	srv.HandleSystem("/livez", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	in := run(t, srv)
	first := make(chan error, 1)
	go func() {
		_, err := testv1connect.NewTestServiceClient(in.connect(in.h2())).Echo(context.Background(), &testv1.EchoRequest{})
		first <- err
	}()
	<-began
	for name, c := range in.dialects() {
		if _, err := testv1connect.NewTestServiceClient(c).Get(t.Context(), &testv1.GetRequest{}); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := in.h1().Get(in.url("/livez"))
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, res); got != "ok" {
		t.Errorf("the probe got %q", got)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Faults 1b: slow and silent peers hold nothing for long, here over sockets; how
// long is attack_slow_test.go's, by the fake clock. Each limit is short in a
// server of its own, as a busy machine makes everybody slow.
func TestSlowPeersAreCut(t *testing.T) {
	t.Parallel()
	t.Run("half a header block", func(t *testing.T) {
		t.Parallel()
		cfg := quiet()
		cfg.Limits.HeaderTimeout = 300 * time.Millisecond
		c := dial(t, serving(t, cfg, testservice.Service{}).Addr().String())
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost:")
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(c); err != nil && isTimeout(err) {
			t.Errorf("still open after %q: %v", b, err)
		}
	})
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprintf("half a body/two=%v", two), func(t *testing.T) {
			t.Parallel()
			cfg := quiet()
			cfg.Limits.ReadStall = 300 * time.Millisecond
			in := serving(t, cfg, testservice.Service{})
			pr, pw := io.Pipe()
			defer pw.Close()
			go func() { _, _ = io.WriteString(pw, `{"te`) }()
			req, err := http.NewRequestWithContext(t.Context(), "POST", in.url(echoPath), pr)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := in.httpClient(two, nil).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, res); !strings.Contains(got, "stalled") {
				t.Errorf("a stalled request was answered %s", got)
			}
			eventually(t, "nothing in flight", func() bool { return in.InFlight() == 0 })
		})
		t.Run(fmt.Sprintf("nothing is read/two=%v", two), func(t *testing.T) {
			t.Parallel()
			handler := make(chan error, 1)
			cfg := quiet()
			cfg.Limits.WriteStall = 300 * time.Millisecond
			in := serving(t, cfg, testservice.Service{OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
				for {
					if err := s.Send(&testv1.CountResponse{Payload: make([]byte, 32<<10)}); err != nil {
						handler <- err
						return err
					}
				}
			}})
			res, err := in.httpClient(two, nil).Post(in.url(countPath), "application/connect+proto", bytes.NewReader(countBody(t)))
			if err == nil { // or it was cut before it had read the header
				defer res.Body.Close()
			}
			select {
			case <-handler:
			case <-time.After(patience):
				t.Error("the handler still writes to a client that does not read")
			}
			eventually(t, "nothing in flight", func() bool { return in.InFlight() == 0 })
		})
	}
}

// Faults 1e: what is unknown, malformed or not allowed is answered, clearly.
//
// Behaviour 37.
func TestOddRequestsGetClearAnswers(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	srv.Handle("GET /hello/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.PathValue("name")) }))
	in := run(t, srv)
	const echo, get, count = "/connectum.test.v1.TestService/Echo", "/connectum.test.v1.TestService/Get", "/connectum.test.v1.TestService/Count"
	for _, c := range []struct {
		method, path, contentType, header, payload string
		status                                     int
		want                                       string
	}{
		{"GET", "/hello/ada", "", "", "", 200, "hello ada"},
		{"POST", "/hello/ada", "text/plain", "", "x", 405, "Method Not Allowed"},
		{"GET", "/nope", "", "", "", 404, "404"},
		{"POST", "/nope", "application/json", "", "{}", 404, "404"},
		{"POST", "/nope", "application/json", "Connect-Protocol-Version: 1", "{}", 404, "unimplemented"},
		{"POST", "/a.B/C", "application/json", "", "{}", 404, "unimplemented"},
		{"POST", "/a.B/C", "application/grpc-web", "", "", 200, ""},
		{"POST", "/connectum.test.v1.TestService/Nope", "application/json", "", "{}", 501, "unimplemented"},
		{"GET", get + "?encoding=json&message=%7B%7D&connect=v1", "", "", "", 405, "GET is not allowed"},
		{"GET", echo, "", "", "", 405, "GET is not allowed"},
		{"POST", echo, "text/plain", "", "x", 415, "application/json, which curl --json sends"},
		{"POST", count, "application/x-www-form-urlencoded", "", "{}", 415, "application/connect+json"},
		{"POST", count, "application/json", "", "{}", 415, "This method is a stream"},
		{"POST", echo, "application/json", "", `{"text":`, 400, "the request message is not valid json"},
		{"POST", echo, "application/json", "", `{"text":"\ud800"}`, 400, "the request message is not valid json"},
		{"POST", echo, "application/json", "", `{text:"x"}`, 400, "the request message is not valid json at line 1, column 2"},
		{"POST", echo, "application/json", "", "{\n  \"text\": 5}", 400, "the request message does not fit its schema at line 2, column 11"},
		{"POST", echo, "application/proto", "", "\xff\xff\xff", 400, "the request message is not valid proto"},
		{"POST", echo, "application/json", "Connect-Timeout-Ms: soon", "{}", 400, "invalid_argument"},
		{"POST", echo, "application/json", "Content-Encoding: br", "{}", 501, "unimplemented"},
		{"POST", echo, "application/json", "", `{"unknown":1,"text":"x"}`, 200, `"text":"x"`},
	} {
		for name, client := range map[string]*http.Client{"h1": in.h1(), "h2": in.h2()} {
			req, _ := http.NewRequest(c.method, in.url(c.path), strings.NewReader(c.payload))
			if c.contentType != "" {
				req.Header.Set("Content-Type", c.contentType)
			}
			if k, v, ok := strings.Cut(c.header, ": "); ok {
				req.Header.Set(k, v)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Errorf("%s %s %s: %v", name, c.method, c.path, err)
				continue
			}
			if got := body(t, res); res.StatusCode != c.status || !strings.Contains(strings.ReplaceAll(got, `": "`, `":"`), c.want) {
				t.Errorf("%s %s %s %s %s: %d %q, want %d %q", name, c.method, c.path, c.contentType, c.header, res.StatusCode, got, c.status, c.want)
			}
		}
	}
}

func TestGETIsAnsweredWhenAllowed(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.AllowGET = true
	in := serving(t, cfg, testservice.Service{})
	client := testv1connect.NewTestServiceClient(in.connect(in.h1(), connecthttp.WithHTTPGet()))
	ctx, info := connect.NewClientContext(t.Context())
	res, err := client.Get(ctx, &testv1.GetRequest{Text: "x"})
	if err != nil || res.GetText() != "x" || info.TransportInfo.(*connecthttp.ClientInfo).HTTPMethod() != "GET" {
		t.Errorf("%v, %v", res, err)
	}
}

// One line of the start tells what is in force, field by field.
func TestTheStartTellsEveryLimit(t *testing.T) {
	t.Parallel()
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	in := serving(t, cfg, testservice.Service{})
	line := ""
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, "server started") {
			line += l
		}
	}
	for _, want := range []string{" addr=" + in.Addr().String(), " tls=false", "connect, grpc, grpcweb", "HTTP/1.1, HTTP/2", " procedures=5", " shutdown.timeout=25s"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not told in %s", want, line)
		}
	}
	camel := regexp.MustCompile("[A-Z][a-z]+|JSON")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[connectum.Limits]()) {
		name := strings.ToLower(strings.Join(camel.FindAllString(f.Name, -1), "_"))
		if !strings.Contains(line, " limits."+name+"=") {
			t.Errorf("Limits.%s is not told as limits.%s in %s", f.Name, name, line)
		}
	}
}

// What has no bound is told as such, and so is what differs by procedure.
func TestTheStartTellsWhatIsWithoutBound(t *testing.T) {
	t.Parallel()
	var log logbook
	cfg := quiet()
	cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	cfg.Limits = connectum.Limits{Timeout: -1, MaxConns: -5, DecodeBudget: -1, PingTimeout: -1, PerProcedure: map[string]connectum.ProcedureLimits{
		"*":                               {WriteStall: -1},
		"connectum.test.v1.TestService/*": {MaxReceiveBytes: 2000, Timeout: 90 * time.Second},
	}}
	cfg.Shutdown.StreamGrace = -1
	serving(t, cfg, testservice.Service{})
	for _, want := range []string{
		`"read_stall":"15s"`, `"timeout":"none"`, `"ping_timeout":"15s"`, `"max_connection_age":"none"`, `"max_conns":-1,`, `"decode_budget":-1,`,
		`"per_procedure":["*: write_stall=none","connectum.test.v1.TestService/*: max_receive_bytes=2000 timeout=1m30s"]`,
		`"shutdown":{"timeout":"25s","drain_delay":"0s","stream_grace":"none",`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not told in %s", want, log.String())
		}
	}
}

// Who calls what nobody serves learns it in the protocol of the call, over
// HTTP/1.1, too.
func TestUnknownProceduresAreUnimplemented(t *testing.T) {
	t.Parallel()
	in := serving(t, quiet(), testservice.Service{})
	clients := map[bool]*http.Client{false: in.h1(), true: in.h2()}
	for _, d := range handmade {
		for two, client := range clients {
			for _, path := range []string{"/connectum.test.v1.TestService/Nope", "/none.v1.Service/Nope"} {
				if got := d.send(t, client, in.url(""), path, nil, bytes.NewReader(d.body(0, nil))); got.code != "unimplemented" && (two || !d.two) {
					t.Errorf("%s %s, HTTP/2 %v: %d %q %q", d.name, path, two, got.status, got.code, got.message)
				}
			}
		}
	}
}

// What HTTP/2 and the engines are told has 32 bits: 4 GiB would be zero there.
func TestLimitsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]connectum.Limits{
		"MaxHeaderBytes":       {MaxHeaderBytes: math.MaxInt},
		"MaxConcurrentStreams": {MaxConcurrentStreams: math.MaxInt},
		"AgeJitter":            {AgeJitter: math.NaN()},
	} {
		cfg := quiet()
		cfg.Limits = l
		if err := connectum.New(cfg).Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := quiet()
	cfg.Limits = connectum.Limits{MaxHeaderBytes: 1 << 30, MaxConcurrentStreams: 1 << 30, AgeJitter: 1}
	if err := connectum.New(cfg).Check(); err != nil {
		t.Errorf("the largest: %v", err)
	}
}
