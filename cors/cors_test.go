package cors_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

const (
	app  = "https://app.example.com"
	evil = "https://evil.example.net"
	echo = "/connectum.test.v1.TestService/Echo"
)

func TestPreflightAllowsWhatTheProtocolsSend(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{Origins: []string{app}, Headers: []string{"Authorization"}})
	for _, test := range []struct{ name, method, headers string }{
		{"Connect unary", "POST", "connect-protocol-version,connect-timeout-ms,content-type"},
		{"Connect compressed", "POST", "connect-protocol-version,content-encoding,content-type"},
		{"Connect stream", "POST", "connect-accept-encoding,connect-content-encoding,connect-protocol-version,content-type"},
		{"Connect GET", "GET", "connect-protocol-version"},
		{"gRPC-Web", "POST", "content-type,grpc-timeout,x-grpc-web,x-user-agent"},
		{"gRPC-Web compressed", "POST", "content-type,grpc-accept-encoding,grpc-encoding,x-grpc-web"},
		{"application's", "POST", "authorization,content-type"},
	} {
		res := preflight(t, server, app, test.method, test.headers)
		if res.StatusCode != http.StatusNoContent {
			t.Errorf("%s: status %d, want 204", test.name, res.StatusCode)
		}
		wantHeader(t, test.name, res, "Access-Control-Allow-Origin", app)
		wantHeader(t, test.name, res, "Access-Control-Allow-Methods", test.method)
		wantHeader(t, test.name, res, "Access-Control-Allow-Headers", test.headers)
		wantHeader(t, test.name, res, "Access-Control-Max-Age", "7200")
		wantHeader(t, test.name, res, "Access-Control-Allow-Credentials", "")
	}
}

func TestPreflightRefusesTheRest(t *testing.T) {
	t.Parallel()
	listed := cors.Config{Origins: []string{app, "https://*.example.org"}}
	for _, test := range []struct {
		name                    string
		config                  cors.Config
		origin, method, headers string
	}{
		{"zero value", cors.Config{}, app, "POST", "content-type"},
		{"another origin", listed, evil, "POST", "content-type"},
		{"another scheme", listed, "http://app.example.com", "POST", "content-type"},
		{"another port", listed, app + ":8443", "POST", "content-type"},
		{"origin as a prefix", listed, app + ".evil.test", "POST", "content-type"},
		{"no subdomain", listed, "https://example.org", "POST", "content-type"},
		{"domain as a suffix", listed, "https://evilexample.org", "POST", "content-type"},
		{"null", listed, "null", "POST", "content-type"},
		{"method", listed, app, "DELETE", "content-type"},
		{"header", listed, app, "POST", "content-type,x-secret"},
	} {
		res := preflight(t, serve(t, test.config), test.origin, test.method, test.headers)
		wantHeader(t, test.name, res, "Access-Control-Allow-Origin", "")
	}
}

func TestPreflightForPrivateNetworkIsNotGranted(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{Origins: []string{app}})
	res := do(t, server, http.MethodOptions, "", http.Header{
		"Origin": {app}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Private-Network": {"true"},
	})
	wantHeader(t, "private network", res, "Access-Control-Allow-Private-Network", "")
}

func TestAnswersExposeWhatScriptsRead(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{
		Origins: []string{"https://*.example.com"}, Credentials: true,
		ExposedHeaders: []string{"X-Request-Id"}, Trailers: []string{"Checksum"},
	})
	for _, test := range []struct{ name, contentType, body, needs string }{
		{"Connect", "application/json", `{"text":"hi"}`, "Trailer-Checksum"},
		{"Connect error", "application/json", `{"text":"fail"}`, ""},
		{"gRPC-Web", "application/grpc-web+proto", "\x00\x00\x00\x00\x04\x0a\x02hi", ""},
		{"gRPC-Web error", "application/grpc-web+proto", "\x00\x00\x00\x00\x06\x0a\x04fail", ""},
		{"gRPC-Web refused at once", "application/grpc-web+proto", "torn", "Grpc-Status"},
	} {
		header := http.Header{"Origin": {app}, "Content-Type": {test.contentType}}
		if test.name == "gRPC-Web refused at once" {
			header.Set("Grpc-Timeout", "abc")
		}
		res := do(t, server, http.MethodPost, test.body, header)
		wantHeader(t, test.name, res, "Access-Control-Allow-Origin", app)
		wantHeader(t, test.name, res, "Access-Control-Allow-Credentials", "true")
		if !slices.Contains(res.Header.Values("Vary"), "Origin") {
			t.Errorf("%s: Vary %q, want Origin, or caches mix origins up", test.name, res.Header.Values("Vary"))
		}
		exposed := strings.Split(res.Header.Get("Access-Control-Expose-Headers"), ", ")
		for _, want := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin", "X-Request-Id", "Trailer-Checksum"} {
			if !slices.Contains(exposed, want) {
				t.Errorf("%s: exposed %q, want %s among them", test.name, exposed, want)
			}
		}
		for name := range res.Header { // whatever the protocols put into headers is readable
			if (strings.HasPrefix(name, "Grpc-") || strings.HasPrefix(name, "Trailer-") || strings.HasPrefix(name, "Connect-")) && !slices.Contains(exposed, name) {
				t.Errorf("%s: header %s is not exposed", test.name, name)
			}
		}
		if test.needs != "" && res.Header.Get(test.needs) == "" {
			t.Errorf("%s: header %s is missing, the test proves nothing", test.name, test.needs)
		}
	}
}

func TestAnswersToOthersAreNotMarked(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{Origins: []string{app}})
	for name, origin := range map[string][]string{"another origin": {evil}, "no origin": nil} {
		res := do(t, server, http.MethodPost, `{}`, http.Header{"Origin": origin, "Content-Type": {"application/json"}})
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, want 200: the browser hides the answer, the server gives it", name, res.StatusCode)
		}
		wantHeader(t, name, res, "Access-Control-Allow-Origin", "")
		wantHeader(t, name, res, "Access-Control-Expose-Headers", "")
	}
}

func TestStarAllowsEveryoneWithoutCredentials(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{Origins: []string{"*"}, MaxAge: -1})
	res := preflight(t, server, evil, "POST", "content-type")
	wantHeader(t, "star", res, "Access-Control-Allow-Origin", "*")
	wantHeader(t, "star", res, "Access-Control-Max-Age", "0")
}

func TestMethodsAddToThoseOfTheProtocols(t *testing.T) {
	t.Parallel()
	server := serve(t, cors.Config{Origins: []string{app}, Methods: []string{"DELETE"}, MaxAge: time.Minute})
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		res := preflight(t, server, app, method, "")
		wantHeader(t, method, res, "Access-Control-Allow-Methods", method)
		wantHeader(t, method, res, "Access-Control-Max-Age", "60")
	}
}

// serve serves a test service behind the middleware and returns its URL.
func serve(t *testing.T, cfg cors.Config) string {
	t.Helper()
	srv := connectum.New(connectum.Config{Middleware: []func(http.Handler) http.Handler{cors.New(cfg)}})
	testv1connect.RegisterTestServiceHandler(srv.RPC(), service{})
	server := httptest.NewServer(srv.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

type service struct {
	testv1connect.UnimplementedTestServiceHandler
}

func (service) Echo(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
	if req.GetText() == "fail" {
		return nil, connect.NewError(connect.CodeNotFound, "no such thing")
	}
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		info.ResponseTrailer().Set("Checksum", "1")
	}
	return &testv1.EchoResponse{Text: req.GetText()}, nil
}

func preflight(t *testing.T, server, origin, method, headers string) *http.Response {
	t.Helper()
	header := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}}
	if headers != "" {
		header.Set("Access-Control-Request-Headers", headers)
	}
	return do(t, server, http.MethodOptions, "", header)
}

func do(t *testing.T, server, method, body string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server+echo, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

func wantHeader(t *testing.T, test string, res *http.Response, name, want string) {
	t.Helper()
	if got := strings.Join(res.Header.Values(name), ", "); got != want {
		t.Errorf("%s: %s %q, want %q", test, name, got, want)
	}
}
