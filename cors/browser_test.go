package cors_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cors"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// browser fetches as a page of an origin would (Fetch standard, sections 3.3 and
// 4.8): it asks first when it must, and shows a script what the answer allows.
// What it sends is what Chromium 148 and Firefox 140 sent for connect-es 2.3.
type browser struct {
	origin string
	asked  []string // the preflights: method, path, headers
}

// errBlocked is all that a script learns of a refusal.
var errBlocked = errors.New("Failed to fetch")

func (b *browser) fetch(ctx context.Context, method, url string, header map[string]string, body []byte) (*http.Response, []byte, error) {
	var unsafe []string
	for name, value := range header {
		if name = strings.ToLower(name); name != "content-type" || value != "text/plain" {
			unsafe = append(unsafe, name)
		}
	}
	slices.Sort(unsafe)
	if len(unsafe) > 0 || !simple(method) {
		if err := b.ask(ctx, method, url, strings.Join(unsafe, ",")); err != nil {
			return nil, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = http.Header{"Origin": {b.origin}, "Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"empty"}}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil, err
	}
	if !b.allowed(res) {
		return nil, nil, errBlocked
	}
	shown := list(res, "Access-Control-Expose-Headers")
	for name := range res.Header {
		safe := []string{"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
		if lower := strings.ToLower(name); !slices.Contains(safe, lower) && !slices.Contains(shown, lower) {
			delete(res.Header, name)
		}
	}
	return res, text, nil
}

// ask sends the preflight and holds the answer to what is asked.
func (b *browser) ask(ctx context.Context, method, url, headers string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, url, nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Origin": {b.origin}, "Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"cross-site"},
		"Sec-Fetch-Dest": {"empty"}, "Access-Control-Request-Method": {method}}
	if headers != "" {
		req.Header.Set("Access-Control-Request-Headers", headers)
	}
	b.asked = append(b.asked, fmt.Sprintf("%s %s %s", method, req.URL.Path, headers))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	allowed := list(res, "Access-Control-Allow-Headers")
	for name := range strings.SplitSeq(headers, ",") {
		if name != "" && !slices.Contains(allowed, name) {
			return errBlocked
		}
	}
	if res.StatusCode/100 != 2 || !b.allowed(res) || !simple(method) && !slices.Contains(list(res, "Access-Control-Allow-Methods"), strings.ToLower(method)) {
		return errBlocked
	}
	return nil
}

// simple methods need no preflight (Fetch standard, section 2.2.1).
func simple(method string) bool { return method == "GET" || method == "HEAD" || method == "POST" }

func (b *browser) allowed(res *http.Response) bool {
	got := res.Header.Values("Access-Control-Allow-Origin")
	return len(got) == 1 && (got[0] == "*" || got[0] == b.origin)
}

func list(res *http.Response, header string) (out []string) {
	for name := range strings.SplitSeq(strings.Join(res.Header.Values(header), ","), ",") {
		out = append(out, strings.ToLower(strings.TrimSpace(name)))
	}
	return out
}

// public is the address of a server whose calls fail with a detail.
func public(t *testing.T, middleware ...func(http.Handler) http.Handler) string {
	t.Helper()
	fail := func() error {
		detail, err := connectproto.NewErrorDetail(&testv1.EchoRequest{Text: "a detail"})
		if err != nil {
			return err
		}
		return connect.NewError(connect.CodeNotFound, "no such thing").WithDetail(detail)
	}
	srv := connectum.New(connectum.Config{AllowGET: true, Middleware: middleware, Logger: slog.New(slog.DiscardHandler)})
	testservice.Service{
		OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) { return nil, fail() },
		OnGet:  func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) { return nil, fail() },
		OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
				return err
			}
			return fail()
		},
	}.Register(srv.RPC())
	srv.Handle("GET /version", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Handle("/panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))
	server := httptest.NewServer(srv.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

// The requests of a real browser, in order, and what its script can read of the
// errors: code, message and details, over both protocols.
func TestAScriptReadsErrorsWithTheirDetails(t *testing.T) {
	t.Parallel()
	const service = "/connectum.test.v1.TestService/"
	url := public(t, cors.New(cors.Config{Origins: []string{app}, Headers: []string{"Authorization"}}))
	message, err := proto.Marshal(&testv1.CountRequest{Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		body               []byte
		asked              string // the preflight
		read               func(res *http.Response, body []byte) (code, text string, detail []byte)
	}{
		{"connect", "POST", "Echo", map[string]string{"Authorization": "Bearer x", "Connect-Protocol-Version": "1", "Connect-Timeout-Ms": "5000", "Content-Type": "application/json"},
			[]byte(`{"text":"x"}`), "authorization,connect-protocol-version,connect-timeout-ms,content-type", ofConnect},
		{"connect proto", "POST", "Echo", map[string]string{"Connect-Protocol-Version": "1", "Content-Type": "application/proto"},
			nil, "connect-protocol-version,content-type", ofConnect},
		{"connect get", "GET", "Get?connect=v1&encoding=json&message=%7B%7D", nil, nil, "", ofConnect},
		{"connect stream", "POST", "Count", map[string]string{"Connect-Protocol-Version": "1", "Content-Type": "application/connect+proto"},
			attack.Envelope(0, message), "connect-protocol-version,content-type", ofConnectStream},
		{"grpcweb", "POST", "Echo", map[string]string{"Authorization": "Bearer x", "Grpc-Timeout": "5000m", "X-Grpc-Web": "1", "X-User-Agent": "connect-es/2.3.0", "Content-Type": "application/grpc-web+proto"},
			attack.Envelope(0, nil), "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent", ofGRPCWeb},
		{"grpcweb stream", "POST", "Count", map[string]string{"X-Grpc-Web": "1", "X-User-Agent": "connect-es/2.3.0", "Content-Type": "application/grpc-web+proto"},
			attack.Envelope(0, message), "content-type,x-grpc-web,x-user-agent", ofGRPCWeb},
	} {
		b := &browser{origin: app}
		res, body, err := b.fetch(t.Context(), test.method, url+service+test.path, test.header, test.body)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var want []string
		if test.asked != "" {
			want = []string{test.method + " " + service + test.path + " " + test.asked}
		}
		if !slices.Equal(b.asked, want) {
			t.Errorf("%s: asked %q, want %q", test.name, b.asked, want)
		}
		code, text, raw := test.read(res, body)
		detail := new(testv1.EchoRequest)
		if err := proto.Unmarshal(raw, detail); err != nil || code != "not_found" || text != "no such thing" || detail.GetText() != "a detail" {
			t.Errorf("%s: the script reads %q, %q, %v, %v\n%d %v\n%q", test.name, code, text, detail, err, res.StatusCode, res.Header, body)
		}

		// The controls: nothing of it for another page, nor without the middleware.
		if _, _, err := (&browser{origin: evil}).fetch(t.Context(), test.method, url+service+test.path, test.header, test.body); !errors.Is(err, errBlocked) {
			t.Errorf("%s: from another origin: %v", test.name, err)
		}
		if _, _, err := (&browser{origin: app}).fetch(t.Context(), test.method, public(t)+service+test.path, test.header, test.body); !errors.Is(err, errBlocked) {
			t.Errorf("%s: without the middleware: %v", test.name, err)
		}
	}
	// And a header that is not allowed is not sent.
	_, _, err = (&browser{origin: app}).fetch(t.Context(), "POST", url+service+"Echo", map[string]string{"Content-Type": "application/json", "X-Secret": "1"}, []byte("{}"))
	if !errors.Is(err, errBlocked) {
		t.Errorf("a header that is not allowed: %v", err)
	}
}

// HEAD needs no preflight, so a browser that was refused would show nothing.
func TestAScriptMayAskForTheHeadOfWhatItMayGet(t *testing.T) {
	t.Parallel()
	url := public(t, cors.New(cors.Config{Origins: []string{app}})) + "/version"
	res, _, err := (&browser{origin: app}).fetch(t.Context(), "HEAD", url, nil, nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", res, err)
	}
	if _, _, err := (&browser{origin: evil}).fetch(t.Context(), "HEAD", url, nil, nil); !errors.Is(err, errBlocked) {
		t.Errorf("from another origin: %v", err)
	}
}

// The server answers for what panicked outside of its interceptors, after the
// middleware has marked the answer.
func TestAScriptReadsTheAnswerForAPanic(t *testing.T) {
	t.Parallel()
	mark := cors.New(cors.Config{Origins: []string{app}})
	broken := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip") // of what it would have written
			panic("secret")
		})
	}
	const echo = "/connectum.test.v1.TestService/Echo"
	for _, test := range []struct {
		name, url string
		header    map[string]string
	}{
		{"handler", public(t, mark) + "/panic", map[string]string{"Content-Type": "text/plain"}},
		{"middleware, connect", public(t, mark, broken) + echo, map[string]string{"Content-Type": "application/json"}},
		{"middleware, grpcweb", public(t, mark, broken) + echo, map[string]string{"Content-Type": "application/grpc-web+proto"}},
	} {
		res, body, err := (&browser{origin: app}).fetch(t.Context(), "POST", test.url, test.header, []byte("{}"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		answer := string(body) + res.Header.Get("Grpc-Message")
		if !strings.Contains(answer, "internal error, id ") && !strings.Contains(answer, "internal%20error,%20id%20") || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: the script reads %d %v %q", test.name, res.StatusCode, res.Header, body)
		}
		if _, _, err := (&browser{origin: evil}).fetch(t.Context(), "POST", test.url, test.header, []byte("{}")); !errors.Is(err, errBlocked) {
			t.Errorf("%s: from another origin: %v", test.name, err)
		}
	}
}

type connectError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Value string `json:"value"`
	} `json:"details"`
}

func (e connectError) read() (code, text string, detail []byte) {
	if len(e.Details) > 0 {
		detail, _ = base64.RawStdEncoding.DecodeString(e.Details[0].Value)
	}
	return e.Code, e.Message, detail
}

func ofConnect(_ *http.Response, body []byte) (code, text string, detail []byte) {
	var e connectError
	_ = json.Unmarshal(body, &e)
	return e.read()
}

func ofConnectStream(_ *http.Response, body []byte) (code, text string, detail []byte) {
	var end struct {
		Error connectError `json:"error"`
	}
	_ = json.Unmarshal(lastMessage(body), &end)
	return end.Error.read()
}

// ofGRPCWeb reads trailers from the headers of an answer without messages, or
// from the end of its body.
func ofGRPCWeb(res *http.Response, body []byte) (code, text string, detail []byte) {
	trailer := res.Header
	if len(body) > 0 {
		trailer = http.Header{}
		for line := range strings.Lines(string(lastMessage(body))) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				trailer.Set(name, strings.TrimSpace(value))
			}
		}
	}
	raw, _ := base64.RawStdEncoding.DecodeString(trailer.Get("Grpc-Status-Details-Bin"))
	var s status.Status
	if err := proto.Unmarshal(raw, &s); err == nil && len(s.GetDetails()) > 0 {
		detail = s.GetDetails()[0].GetValue()
	}
	codes := map[string]string{"5": "not_found"}
	return codes[trailer.Get("Grpc-Status")], trailer.Get("Grpc-Message"), detail
}

// lastMessage returns the last of the messages in a stream.
func lastMessage(body []byte) (last []byte) {
	for len(body) >= 5 {
		n := int(body[1])<<24 | int(body[2])<<16 | int(body[3])<<8 | int(body[4])
		last, body = body[5:5+n], body[5+n:]
	}
	return last
}
