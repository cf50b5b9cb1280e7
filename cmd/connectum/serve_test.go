package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/interceptor"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

// serving is what the servers of one script share.
type serving struct {
	test  *testing.T
	certs *connectumtest.Certificates
	env   *testscript.Env
	calls atomic.Int64 // of all its servers
}

type servingKey struct{}

// setUp gives a script certificates, by the variables CA, CERT, KEY and EXPIRED.
func setUp(t *testing.T, env *testscript.Env) error {
	c := connectumtest.Certs(t)
	env.Values[servingKey{}] = &serving{test: t, certs: c, env: env}
	env.Setenv("CA", c.CAFile)
	env.Setenv("CERT", c.Client.CertFile)
	env.Setenv("KEY", c.Client.KeyFile)
	env.Setenv("EXPIRED", c.Expired.CertFile)
	return nil
}

// serve starts a server that lives as long as the script, and sets the variable
// of that name to its address. Options are tls, mtls, expired, noreflection,
// alpha (reflection of the older version alone), nohealth, unhealthy,
// readyz (that path alone), unix, get,
// cors (from anywhere), debug (profiles where strangers reach them).
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME [options...]")
	}
	s := ts.Value(servingKey{}).(*serving)
	cfg := connectum.Config{Logger: slog.New(slog.DiscardHandler), AllowGET: has(args, "get"), Interceptors: interceptor.Defaults(interceptor.Config{})}
	switch {
	case has(args, "tls"):
		cfg.TLS = s.certs.ServerTLS()
	case has(args, "mtls"):
		cfg.TLS = s.certs.MutualTLS()
	case has(args, "expired"):
		cfg.TLS.Config = &tls.Config{Certificates: []tls.Certificate{s.certs.Expired.TLS}}
	}
	cfg.Middleware = append(cfg.Middleware, s.count)
	if has(args, "alpha") {
		cfg.Middleware = append(cfg.Middleware, without("/grpc.reflection.v1.ServerReflection/"))
	}
	if has(args, "cors") {
		cfg.Middleware = append(cfg.Middleware, fromAnywhere)
	}
	srv := connectum.New(cfg)
	service().Register(srv.RPC())
	if !has(args, "noreflection") {
		reflection.Register(srv)
	}
	if !has(args, "nohealth") {
		checks := health.Register(srv)
		if has(args, "unhealthy") {
			ts.Check(checks.Set("", health.NotServing))
		}
	}
	if has(args, "debug") {
		srv.Handle("/debug/pprof/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "profiles") }))
		srv.Handle("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "metrics") }))
	}
	if has(args, "readyz") {
		for _, path := range []string{"/readyz", "/elsewhere"} {
			srv.HandleSystem(path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "SERVING") }))
		}
	}
	network, at := "tcp", "127.0.0.1:0"
	if has(args, "unix") {
		network, at = "unix", filepath.Join(s.test.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	ts.Check(err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), l) }()
	ts.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // the same as of Serve
		if err := <-ended; err != nil && !errors.Is(err, connectum.ErrForced) {
			s.test.Errorf("stop the server %s: %v", args[0], err)
		}
	})
	for late := time.Now().Add(patience); srv.State() != connectum.StateRunning; {
		select {
		case err := <-ended:
			ts.Fatalf("start the server: %v", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(late) {
			ts.Fatalf("the server is %v", srv.State())
		}
	}
	address := l.Addr().String()
	if network == "unix" {
		address = "unix://" + at
	}
	ts.Setenv(args[0], address)
}

func (s *serving) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		next.ServeHTTP(w, r)
	})
}

// called N waits until the servers of the script have been called so often.
func called(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: called N")
	}
	want, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	s := ts.Value(servingKey{}).(*serving)
	until(ts, func() bool { return s.calls.Load() >= want }, func() string { return fmt.Sprintf("%d calls", s.calls.Load()) })
}

// without hides what is below a path.
func without(path string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, path) {
				http.NotFound(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// fromAnywhere lets any page of the web call, as its user.
func fromAnywhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
		next.ServeHTTP(w, r)
	})
}

// service answers as the proto says, but for some texts.
func service() testservice.Service {
	return testservice.Service{OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		switch req.GetText() {
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		case "slow":
			timer := time.NewTimer(300 * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case "missing":
			return nil, connect.NewError(connect.CodeNotFound, "nothing is called missing").
				WithDetail(interceptor.ErrorInfo("MISSING", "test.example.com", map[string]string{"name": "missing"}))
		case "escape":
			return nil, connect.NewError(connect.CodeNotFound, "\x1b[31mred\x1b[0m")
		case "metadata":
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				info.ResponseHeader().Set("X-Echo", info.RequestHeader().Get("X-Ask"))
				info.ResponseTrailer().Set("X-Last", "bye")
			}
		}
		return &testv1.EchoResponse{Text: req.GetText(), Number: req.GetNumber(), Tags: req.GetTags(), Count: req.GetCount()}, nil
	}}
}
