package env_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/env"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

const echo = "/connectum.test.v1.TestService/Echo"

// Each variable changes what a server does, as seen from outside. Without it
// the same server does what stands under want[0]: the control.
func TestEachVariableChangesTheServer(t *testing.T) {
	t.Parallel()
	silent := testservice.Service{}
	holding := func(hold time.Duration) testservice.Service {
		return testservice.Service{OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			time.Sleep(hold) // of the fake clock
			return &testv1.EchoResponse{}, nil
		}}
	}
	large := func(n int) *testv1.EchoRequest { return &testv1.EchoRequest{Text: strings.Repeat("x", n)} }
	tests := []struct {
		name, value string
		svc         testservice.Service
		more        map[string]string // set in both
		probe       func(r *running) string
		want        [2]string // without, with
	}{
		{"MAX_RECEIVE_BYTES", "1000", silent, nil, func(r *running) string {
			_, err := r.client().Echo(r.t.Context(), large(1001))
			return outcome(err)
		}, [2]string{"ok", "resource_exhausted"}},
		{"MAX_JSON_BYTES", "1000", silent, nil, func(r *running) string {
			_, err := r.client(connecthttp.WithProtoJSON()).Echo(r.t.Context(), large(1001))
			return outcome(err)
		}, [2]string{"ok", "resource_exhausted"}},
		{"MAX_SEND_BYTES", "1000", silent, nil, func(r *running) string {
			_, err := r.client(connecthttp.WithCompressors()).Echo(r.t.Context(), &testv1.EchoRequest{Text: "12345678", Count: 126})
			return outcome(err)
		}, [2]string{"ok", "resource_exhausted"}},
		{"DECODE_BUDGET_BYTES", "80000", holding(time.Second), nil, func(r *running) string {
			client := r.client()
			first := make(chan error, 1)
			go func() { _, err := client.Echo(context.Background(), large(9000)); first <- err }()
			synctest.Wait()
			_, err := client.Echo(r.t.Context(), large(9000))
			return outcome(err) + " " + outcome(<-first)
		}, [2]string{"ok ok", "resource_exhausted ok"}},
		{"COMPRESS_MIN_BYTES", "10", silent, nil, func(r *running) string {
			req, _ := http.NewRequest("POST", "http://localhost"+echo, strings.NewReader(`{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`))
			req.Header = http.Header{"Content-Type": {"application/json"}, "Accept-Encoding": {"gzip"}}
			res, err := r.http(false).Do(req)
			if err != nil {
				return err.Error()
			}
			_ = res.Body.Close()
			return "encoding=" + res.Header.Get("Content-Encoding")
		}, [2]string{"encoding=", "encoding=gzip"}},
		{"MAX_HEADER_BYTES", "1024", silent, nil, func(r *running) string {
			req, _ := http.NewRequest("POST", "http://localhost"+echo, strings.NewReader("{}"))
			req.Header = http.Header{"Content-Type": {"application/json"}, "X": {strings.Repeat("x", 10<<10)}}
			res, err := r.http(false).Do(req)
			if err != nil {
				return err.Error()
			}
			_ = res.Body.Close()
			return strconv.Itoa(res.StatusCode)
		}, [2]string{"200", "431"}},
		{"ALLOW_GET", "true", silent, nil, func(r *running) string {
			res, err := r.http(false).Get("http://localhost/connectum.test.v1.TestService/Get?encoding=json&message=%7B%7D&connect=v1")
			if err != nil {
				return err.Error()
			}
			_ = res.Body.Close()
			return strconv.Itoa(res.StatusCode)
		}, [2]string{"405", "200"}},
		{"MAX_IN_FLIGHT", "1", holding(time.Second), nil, func(r *running) string {
			client := r.client()
			first := make(chan error, 1)
			go func() { _, err := client.Echo(context.Background(), large(0)); first <- err }()
			synctest.Wait()
			_, err := client.Echo(r.t.Context(), large(0))
			return outcome(err) + " " + outcome(<-first)
		}, [2]string{"ok ok", "resource_exhausted ok"}},
		{"MAX_CONNS", "1", silent, nil, func(r *running) string {
			first := r.dial()
			_, _ = io.WriteString(first, "POST / HTTP/1.1\r\n") // busy
			synctest.Wait()
			return closes(r.dial())
		}, [2]string{"5s", "0s"}},
		{"REQUEST_TIMEOUT", "7s", testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil, func(r *running) string {
			began := time.Now()
			_, err := r.client().Echo(r.t.Context(), large(0))
			return outcome(err) + " " + time.Since(began).String()
		}, [2]string{"deadline_exceeded 30s", "deadline_exceeded 7s"}},
		{"HEADER_TIMEOUT", "11s", silent, nil, func(r *running) string {
			c := r.dial()
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost:")
			return closes(c)
		}, [2]string{"5s", "11s"}},
		{"IDLE_TIMEOUT", "13s", silent, nil, func(r *running) string {
			c := r.dial()
			_, _ = io.WriteString(c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
			return closes(c)
		}, [2]string{"2m0s", "13s"}},
		{"READ_STALL", "20s", silent, nil, func(r *running) string {
			began := time.Now()
			body, w := io.Pipe()
			defer w.Close()
			res, err := r.http(true).Post("http://localhost"+echo, "application/json", body)
			if err != nil {
				return err.Error()
			}
			_ = res.Body.Close()
			return time.Since(began).Truncate(time.Second).String() // it is looked at four times a second
		}, [2]string{"15s", "20s"}},
		{"WRITE_STALL", "20s", testservice.Service{OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			for {
				if err := s.Send(&testv1.CountResponse{Payload: make([]byte, 32<<10)}); err != nil {
					return err
				}
			}
		}}, nil, func(r *running) string {
			began := time.Now()
			if _, err := r.client(connecthttp.WithCompressors()).Count(r.t.Context(), &testv1.CountRequest{}); err != nil {
				return err.Error()
			}
			for r.InFlight() > 0 {
				time.Sleep(250 * time.Millisecond)
			}
			return time.Since(began).Truncate(time.Second).String() // it is looked at four times a second
		}, [2]string{"15s", "20s"}},
		{"MAX_CONCURRENT_STREAMS", "4", silent, nil, setting(3), [2]string{"100", "4"}},
		{"STREAM_BUFFER_BYTES", "65536", silent, nil, setting(4), [2]string{"262144", "65536"}},
		{"CONNECTION_BUFFER_BYTES", "131072", silent, nil, func(r *running) string {
			p := attack.HTTP2(r.t, r.dial(), 1<<20)
			f, err := p.Until(attack.Window) // beyond the 65535 that are given
			return fmt.Sprint(65535+f.Code(), err)
		}, [2]string{"1048576 <nil>", "131072 <nil>"}},
		{"PING_INTERVAL", "17s", silent, nil, func(r *running) string {
			p := attack.HTTP2(r.t, r.dial(), 1<<20)
			p.Acknowledge()
			began := time.Now()
			_, err := p.Until(attack.Ping)
			return fmt.Sprint(time.Since(began), err)
		}, [2]string{"30s <nil>", "17s <nil>"}},
		{"PING_TIMEOUT", "18s", silent, nil, func(r *running) string {
			p := attack.HTTP2(r.t, r.dial(), 1<<20)
			p.Acknowledge()
			if _, err := p.Until(attack.Ping); err != nil {
				return err.Error()
			}
			return closes(p)
		}, [2]string{"15s", "18s"}},
		{"MAX_CONNECTION_AGE", "1m", silent, map[string]string{"CONNECTION_AGE_JITTER": "0.001"}, func(r *running) string {
			p := attack.HTTP2(r.t, r.dial(), 1<<20)
			p.Acknowledge()
			began := time.Now()
			return p.Leave(began).Round(time.Second).String()
		}, [2]string{"2m0s", "1m0s"}}, // without it the silence ends it
		{"CONNECTION_AGE_JITTER", "0.001", silent, map[string]string{"MAX_CONNECTION_AGE": "1000s", "IDLE_TIMEOUT": "none"}, func(r *running) string {
			ages := make(chan time.Duration)
			for range 20 {
				p, began := attack.HTTP2(r.t, r.dial(), 1<<20), time.Now()
				p.Acknowledge()
				go func() { ages <- p.Leave(began) }()
			}
			first, last := time.Hour, time.Duration(0)
			for range 20 {
				age := <-ages
				first, last = min(first, age), max(last, age)
			}
			return fmt.Sprint("apart: ", last-first > 10*time.Second)
		}, [2]string{"apart: true", "apart: false"}},
		{"SHUTDOWN_TIMEOUT", "20s", holding(time.Minute), nil, stopping, [2]string{"forced 25s", "forced 20s"}},
		{"SHUTDOWN_NO_FORCE", "yes", holding(time.Minute), nil, stopping, [2]string{"forced 25s", "clean 1m0s"}},
		{"DRAIN_DELAY", "5s", silent, nil, func(r *running) string {
			began := time.Now()
			go func() { _ = r.Shutdown(context.Background()) }()
			time.Sleep(4 * time.Second)
			_, err := r.memory.Dial(context.Background())
			<-r.done
			return fmt.Sprint(err == nil, " ", time.Since(began) >= 5*time.Second)
		}, [2]string{"false false", "true true"}},
		{"STREAM_GRACE", "3s", testservice.Service{OnChat: func(ctx context.Context, _ testv1connect.TestServiceChatServerStream) error {
			<-ctx.Done()
			return ctx.Err()
		}}, nil, func(r *running) string {
			stream, err := r.client().Chat(r.t.Context())
			if err != nil {
				return err.Error()
			}
			_ = stream.Send(&testv1.ChatRequest{})
			synctest.Wait()
			began := time.Now()
			go func() { _ = r.Shutdown(context.Background()) }()
			_, err = stream.Receive()
			return outcome(err) + " " + time.Since(began).Round(time.Second).String()
		}, [2]string{"unavailable 5s", "unavailable 3s"}},
	}
	tried := map[string]bool{ // below, over real sockets
		"PORT": true, "LISTEN": true, "ADMIN_LISTEN": true, "TLS_CERT": true, "TLS_KEY": true, "TLS_CLIENT_CA": true, "TLS_CLIENT_AUTH": true,
		"TLS_RELOAD_INTERVAL": true, "HANDSHAKE_TIMEOUT": true, "LOG_LEVEL": true, "LOG_FORMAT": true,
	}
	for _, test := range tests {
		tried[test.name] = true
		for i, value := range []string{"", test.value} {
			t.Run(test.name+"="+value, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					given := map[string]string{test.name: value}
					for k, v := range test.more {
						given[k] = v
					}
					if got := test.probe(start(t, given, test.svc)); got != test.want[i] {
						t.Errorf("%s, want %s", got, test.want[i])
					}
				})
			})
		}
	}
	for _, v := range env.Variables() {
		if !tried[v.Name] {
			t.Errorf("%s is not tried", v.Name)
		}
	}
}

func TestAddressesOfTheEnvironmentAreListenedOn(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, variables := range map[string]map[string]string{
		"PORT":         {"LISTEN": "127.0.0.1", "PORT": port},
		"LISTEN":       {"LISTEN": taken.Addr().String()},
		"ADMIN_LISTEN": {"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": taken.Addr().String()},
	} {
		cfg := parse(t, variables).Server()
		cfg.Logger = slog.New(slog.DiscardHandler)
		if err := connectum.New(cfg).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listen tcp "+taken.Addr().String()) {
			t.Errorf("%s: Run returned %v, want that the address is taken", name, err)
		}
	}
}

// As a container would: the whole process is told by its environment, and
// nothing else, how to log.
func TestLogLinesOfAProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("ENV_TEST_PROCESS") != "" {
		cfg, err := env.Load()
		if err != nil {
			t.Fatal(err)
		}
		slog.SetDefault(cfg.Logger(os.Stderr))
		srv := connectum.New(cfg.Server())
		srv.OnReady(func(context.Context, net.Addr) { slog.Debug("application"); go srv.Shutdown(context.Background()) })
		if err := srv.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, test := range []struct {
		environ []string
		lines   []string // begin a line each; nothing else of these is there
	}{
		{nil, []string{`"level":"INFO","msg":"server started"`}},
		{[]string{"LOG_FORMAT=text"}, []string{`level=INFO msg="server started"`}},
		{[]string{"LOG_FORMAT=text", "LOG_LEVEL=debug"}, []string{`level=INFO msg="server started"`, `level=DEBUG msg=application`}},
		{[]string{"LOG_LEVEL=warn"}, nil},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLogLinesOfAProcess$")
		cmd.Env = append([]string{"ENV_TEST_PROCESS=1", "LISTEN=127.0.0.1:0"}, test.environ...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil {
			t.Fatalf("%v: %v\n%s%s", test.environ, err, out, stderr.String())
		}
		found := map[string]int{"server started": 0, "application": 0}
		lines := bufio.NewScanner(&stderr)
		for lines.Scan() {
			for what := range found {
				if strings.Contains(lines.Text(), what) {
					found[what]++
					matched := false
					for _, want := range test.lines {
						matched = matched || strings.Contains(lines.Text(), want)
					}
					if !matched {
						t.Errorf("%v: %s", test.environ, lines.Text())
					}
				}
			}
		}
		if got := found["server started"] + found["application"]; got != len(test.lines) {
			t.Errorf("%v: %d lines, want %d", test.environ, got, len(test.lines))
		}
	}
}
