package connectum_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Faults 1a and 1e: input that is not what a protocol says.

// example is a request that d's peer understands.
func (d dialect) example(t testing.TB) []byte {
	t.Helper()
	switch d.name {
	case "connect json":
		return []byte(`{"text":"x"}`)
	case "connect stream":
		return countBody(t)
	}
	return d.body(0, echoRequest(t, 1))
}

// each calls f for each dialect over each version of HTTP that carries it.
func (in *instance) each(f func(d dialect, c *http.Client, name string)) {
	for _, d := range handmade {
		for _, two := range []bool{false, true} {
			if !two && !d.two {
				f(d, in.h1(), d.name+" http1")
			} else if two {
				f(d, in.h2(), d.name+" h2c")
			}
		}
	}
}

func TestUnknownCodecsAndEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	in := serving(t, quiet(), testservice.Service{})
	for _, contentType := range []string{
		"application/grpc+thrift", "application/grpc-web+thrift", "application/connect+xml", "application/xml", "application/grpc-web-text",
		"", "text/plain", "application/json; charset=latin1", "multipart/form-data", "\x7f", strings.Repeat("x", 10_000),
	} {
		for name, c := range map[string]*http.Client{"http1": in.h1(), "h2c": in.h2()} {
			got := dialect{contentType: contentType}.send(t, c, in.url(""), echoPath, nil, strings.NewReader("{}"))
			if refused := []string{"415", "broken"}; !slices.Contains(refused, got.code) && got.code != "torn" || got.status == 200 {
				t.Errorf("%s, %.40q: %d, %s, %q", name, contentType, got.status, got.code, got.message)
			}
		}
	}
	in.each(func(d dialect, c *http.Client, name string) {
		if got := d.send(t, c, in.url(""), d.method(), map[string]string{d.encoding: "br"}, bytes.NewReader(d.example(t))); got.code != "unimplemented" {
			t.Errorf("%s, an unknown encoding: %s, %q", name, got.code, got.message)
		}
		for what, body := range map[string][]byte{"not gzip": []byte("garbage"), "half of gzip": zip(t, echoRequest(t, 1000))[:30], "nothing": nil} {
			got := d.send(t, c, in.url(""), d.method(), map[string]string{d.encoding: "gzip"}, bytes.NewReader(d.body(1, body)))
			checkWire(t, name+", "+what, got.wire)
			if got.code == "" && what != "nothing" || got.code == "unknown" || got.code == "broken" || got.code == "torn" || got.code == "internal" {
				t.Errorf("%s, %s: %s, %q", name, what, got.code, got.message)
			}
		}
		if d.stream {
			got := d.send(t, c, in.url(""), d.method(), nil, bytes.NewReader(d.body(1, zip(t, echoRequest(t, 1)))))
			if got.code != "internal" && got.code != "invalid_argument" { // the protocols say internal
				t.Errorf("%s, compressed without saying how: %s, %q", name, got.code, got.message)
			}
		}
	})
}

// A GET carries its message in the URL.
func TestMalformedURLsAreRefused(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.AllowGET = true
	in := serving(t, cfg, testservice.Service{})
	for query, want := range map[string]string{
		"encoding=json&message=!!!&base64=1&connect=v1":       "the request message can't be read",
		"encoding=json&message=a&compression=gzip&connect=v1": "the request message can't be read",
		"encoding=json&message=%7B&connect=v1":                "the request message is not valid json",
		"encoding=proto&message=%0A%05&connect=v1":            "the request message is not valid proto",
		"encoding=json&message=%7B%7D&connect=v9":             `connect must be \"v1\": got \"v9\"`,
		"encoding=json": "missing message parameter",
		"encoding=json&connect=v1&message=" + strings.Repeat("x", 8000): "the request message is not valid json at line 1, column 1",
	} {
		for name, c := range map[string]*http.Client{"http1": in.h1(), "h2c": in.h2()} {
			res, err := c.Get(in.url("/connectum.test.v1.TestService/Get?" + query))
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, res); res.StatusCode != 400 || got != `{"code":"invalid_argument","message":"`+want+`"}` {
				t.Errorf("%s, %.60s: %d %s, want 400 and %s", name, query, res.StatusCode, got, want)
			}
		}
	}
}

func TestBadTimeoutsAreRefused(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	tell := func(ctx context.Context) {
		at, ok := ctx.Deadline()
		if !ok {
			at = time.Now().Add(1000 * time.Hour)
		}
		left <- time.Until(at)
	}
	in := serving(t, quiet(), testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			tell(ctx)
			return &testv1.EchoResponse{}, nil
		},
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, _ testv1connect.TestServiceCountServerStream) error {
			tell(ctx)
			return nil
		},
	})
	in.each(func(d dialect, c *http.Client, name string) {
		header, bad, huge := "Connect-Timeout-Ms", []string{"soon", "-1", "12345678901", "1e3", "0x10", "1.5", " 1 2", strings.Repeat("9", 1000)}, "9999999999"
		if strings.HasPrefix(d.contentType, "application/grpc") {
			header, bad, huge = "Grpc-Timeout", []string{"soon", "-1S", "123456789S", "1", "5X", "S", "1e3m", "1.5S", strings.Repeat("9", 1000) + "S"}, "99999999H"
		}
		for _, value := range bad {
			got := d.send(t, c, in.url(""), d.method(), map[string]string{header: value}, bytes.NewReader(d.example(t)))
			if got.code != "invalid_argument" {
				t.Errorf("%s, %s: %.20s: %s, %q, want invalid_argument", name, header, value, got.code, got.message)
			}
			if strings.Contains(got.message, "strconv") {
				t.Errorf("%s, %s: %.20s: a library speaks: %q", name, header, value, got.message)
			}
		}
		for value, most := range map[string]time.Duration{huge: 30 * time.Second, "": 30 * time.Second} {
			given := map[string]string{header: value}
			if value == "" {
				given = nil
			}
			if got := d.send(t, c, in.url(""), d.method(), given, bytes.NewReader(d.example(t))); got.code != "" {
				t.Errorf("%s, %s: %s: %s, %q", name, header, value, got.code, got.message)
				continue
			}
			if d := <-left; d > most && name != "connect stream http1" && name != "connect stream h2c" { // streams have no limit of ours
				t.Errorf("%s, %s: %s: the handler has %v", name, header, value, d)
			}
		}
	})
}

// What is in the messages: bytes that no message is made of, in words of ours.
func TestMalformedMessagesAreRefused(t *testing.T) {
	t.Parallel()
	in := serving(t, quiet(), testservice.Service{})
	const proto, json = "the request message is not valid proto", "the request message is not valid json"
	bad := map[string][]string{
		proto: {"\xff\xff\xff", "\x0a\x05hi", "\x0a\xff\xff\xff\xff\x7f", "\x0a\x01\xff", "\x0c", "\x0a\x02\xc3\x28", strings.Repeat("\x80", 11)},
		json: {`{"text":`, `{"text":"\ud800"}`, "{\"text\":\"\xff\"}", `{"number":1e99}`, `{"text":1}`, `{"text":"a","text":"b"}`, `{"payload":"!"}`, "[]", "null x", "\x00",
			`{"node":{"@type":"type.googleapis.com/none"}`},
	}
	in.each(func(d dialect, c *http.Client, name string) {
		want := proto
		if d.name == "connect json" {
			want = json
		}
		for _, message := range bad[want] {
			if d.name == "connect stream" && strings.HasSuffix(message, "\xff") {
				continue // CountRequest's first field is a number
			}
			got := d.send(t, c, in.url(""), d.method(), nil, bytes.NewReader(d.body(0, []byte(message))))
			if d.name == "connect stream" && got.code == "" {
				continue // it may be a CountRequest with fields that it does not know
			}
			said, _, _ := strings.Cut(got.message, " at line ")
			if got.code != "invalid_argument" || said != want && (want != json || said != "the request message does not fit its schema") {
				t.Errorf("%s, %q: %s, %q, want invalid_argument, %q", name, message, got.code, got.message, want)
			}
		}
	})
}

func TestMalformedEnvelopesAreRefused(t *testing.T) {
	t.Parallel()
	in := serving(t, quiet(), testservice.Service{})
	in.each(func(d dialect, c *http.Client, name string) {
		if !d.stream {
			return
		}
		whole := d.example(t)
		for what, body := range map[string][]byte{
			"half a prefix": whole[:3], "a prefix alone": whole[:5], "half a message": whole[:len(whole)-1], "an unknown flag": append([]byte{0x40}, whole[1:]...),
			"bytes after it": append(bytes.Clone(whole), 1, 2, 3), "two messages": append(bytes.Clone(whole), whole...), "no message": nil,
			"4 GiB": {0, 0xff, 0xff, 0xff, 0xff}, "the end of a stream": append([]byte{2}, whole[1:]...), "trailers": append([]byte{128}, whole[1:]...),
		} {
			got := d.send(t, c, in.url(""), d.method(), nil, bytes.NewReader(body))
			if got.code == "" || got.code == "broken" || got.code == "torn" || got.code == "unknown" {
				t.Errorf("%s, %s: %s, %q", name, what, got.code, got.message)
			}
			checkWire(t, name+", "+what, got.wire)
		}
	})
}

// checkWire holds an answer to showing nothing of the inside.
func checkWire(t testing.TB, what, wire string) {
	t.Helper()
	for _, inside := range []string{"goroutine ", ".go:", "runtime.", "runtime error", "panic", secret, "hunter2", "testv1", "proto: ", "strconv", "syntax error", "gzip: ", "connectgzip", "invalid character", "base64"} {
		if strings.Contains(wire, inside) {
			t.Errorf("%s: %q is on the wire:\n%s", what, inside, wire)
		}
	}
}

// Faults 1d: a panic is an answer, before the first message and after it, in
// every protocol; what was thrown and where stays here.
func TestPanicsAreAnsweredWithoutTheirStack(t *testing.T) {
	t.Parallel()
	for _, thrown := range []any{secret, fmt.Errorf("%s", secret), struct{ Password string }{secret}, nil} {
		for _, after := range []bool{false, true} {
			var log logbook
			cfg := quiet()
			cfg.Logger = log.logger()
			in := serving(t, cfg, misbehave(after, func(context.Context) error {
				if thrown == nil {
					var m map[string]int
					m[secret] = 1 //nolint:staticcheck // to panic
				}
				panic(thrown)
			}))
			calls := 0
			in.each(func(d dialect, c *http.Client, name string) {
				paths := []string{d.method()}
				if d.name == "grpc" || d.name == "grpcweb" {
					paths = []string{echoPath, countPath, sumPath}
					if !strings.HasSuffix(name, "http1") {
						paths = append(paths, chatPath)
					}
				} else if d.stream {
					paths = []string{countPath, sumPath}
				}
				for _, path := range paths {
					body := d.example(t)
					if d.stream && path != echoPath {
						body = countBody(t)
					}
					got := d.send(t, c, in.url(""), path, nil, bytes.NewReader(body))
					calls++
					what := fmt.Sprintf("%T, after %v, %s, %s", thrown, after, name, path)
					if got.code != "internal" || !strings.HasPrefix(got.message, "internal error, id ") {
						t.Errorf("%s: %s, %q, want an internal error and its id", what, got.code, got.message)
					}
					if id := strings.TrimPrefix(got.message, "internal error, id "); !strings.Contains(log.String(), id) {
						t.Errorf("%s: the log does not know %s", what, id)
					}
					checkWire(t, what, got.wire)
				}
			})
			if n := strings.Count(log.String(), "handler panicked"); n != calls {
				t.Errorf("%d panics are logged, want %d", n, calls)
			}
			if !strings.Contains(log.String(), "attack_input_test.go") {
				t.Error("the operator does not see where it was") // the control: there is a stack
			}
		}
	}
}

// FuzzRequest sends what strangers may send, and holds the answers to a closed
// list of codes and texts.
func FuzzRequest(f *testing.F) {
	for i, d := range handmade {
		f.Add(uint8(i), d.method(), "", "", d.example(f))
		f.Add(uint8(i), d.method(), d.encoding, "gzip", d.body(1, zip(f, echoRequest(f, 100))))
		f.Add(uint8(i), d.method(), "Grpc-Timeout", "1S", []byte{0, 0, 0, 0, 1})
		f.Add(uint8(i), "/connectum.test.v1.TestService/Nope", "Connect-Timeout-Ms", "1", []byte("{"))
	}
	srv := connectum.New(quiet())
	testservice.Service{ // whose answers do not grow with what is asked
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{Text: req.GetText(), Node: req.GetNode()}, nil
		},
		OnCount: func(_ context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			return s.Send(&testv1.CountResponse{Text: req.GetText()})
		},
	}.Register(srv.RPC())
	h := srv.Handler()
	f.Fuzz(func(t *testing.T, n uint8, path, name, value string, body []byte) {
		d := handmade[int(n)%len(handmade)]
		req, err := http.NewRequest("POST", "http://localhost/", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = path
		req.Header.Set("Content-Type", d.contentType)
		if name != "" {
			req.Header.Set(name, value)
		}
		if d.two {
			req.ProtoMajor, req.ProtoMinor, req.Proto = 2, 0, "HTTP/2.0"
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		res := w.Result()
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusInternalServerError && d.name != "connect" && d.name != "connect json" {
			t.Errorf("%s: status %d, %q", d.name, res.StatusCode, text)
		}
		if strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc") {
			if code, message := grpcVerdict(res, text); code == "unknown" || strings.Contains(message, "panic") || code == "internal" && strings.HasPrefix(message, "internal error, id") {
				t.Errorf("%s %s: %s, %q", d.name, path, code, message)
			}
		}
		if srv.InFlight() != 0 {
			t.Error("a call is left in flight")
		}
	})
}

// FuzzTimeouts sends what may stand for a timeout: it is a mistake, in words of
// ours, or the handler has a deadline that is neither beyond the client's nor
// beyond the server's.
func FuzzTimeouts(f *testing.F) {
	for _, value := range []string{"", "1", "0", "1000", "-1", "1e3", "9999999999", "12345678901", "1S", "0S", "99999999H", "123456789S", "5X", "S", "1.5S", " 1S", "+1m", "1n", "1u", "soon"} {
		f.Add(value)
	}
	var handled bool
	var left time.Duration
	srv := connectum.New(quiet())
	testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		at, _ := ctx.Deadline()
		handled, left = true, time.Until(at)
		return &testv1.EchoResponse{}, nil
	}}.Register(srv.RPC())
	h := srv.Handler()
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': 1}
	f.Fuzz(func(t *testing.T, value string) {
		for _, d := range handmade {
			if d.name == "connect stream" {
				continue // whose handlers have no deadline of the server's
			}
			header, number, unit, largest := "Connect-Timeout-Ms", value, time.Millisecond, int64(9999999999)
			if strings.HasPrefix(d.contentType, "application/grpc") {
				header, largest, unit = "Grpc-Timeout", 99999999, 0
				if n := len(value); n > 0 {
					number, unit = value[:n-1], units[value[n-1]]
				}
			}
			n, err := strconv.ParseInt(number, 10, 64)
			valid := err == nil && n >= 0 && n <= largest && unit > 0 // Connect takes "+1S" for gRPC
			if header == "Connect-Timeout-Ms" {
				valid = valid && len(number) <= 10 && strings.Trim(number, "0123456789") == ""
			}
			most := 30 * time.Second
			if valid && value != "" && n <= int64(most/unit) {
				most = min(most, time.Duration(n)*unit)
			}
			req := httptest.NewRequest("POST", echoPath, bytes.NewReader(d.example(t)))
			req.Header[http.CanonicalHeaderKey(header)] = []string{value}
			req.Header.Set("Content-Type", d.contentType)
			if d.two {
				req.ProtoMajor, req.ProtoMinor, req.Proto = 2, 0, "HTTP/2.0"
			}
			handled = false
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			switch {
			case handled && !valid && value != "":
				t.Errorf("%s: %q came to the handler", d.name, value)
			case handled && left > most:
				t.Errorf("%s: with %q the handler has %v", d.name, value, left)
			case !handled && valid && most > 5*time.Second: // shorter ones may pass before
				t.Errorf("%s: %q was refused: %d %s", d.name, value, w.Code, w.Body)
			}
			checkWire(t, d.name+" "+strconv.Quote(value), strings.ReplaceAll(w.Body.String(), value, ""))
		}
	})
}
