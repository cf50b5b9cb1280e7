package doctor_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/cors"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

func quiet() connectum.Config {
	return connectum.Config{Logger: slog.New(slog.DiscardHandler)}
}

// sound is a server that nothing is wrong with, but for what shape does to it.
func sound(t *testing.T, cfg connectum.Config, shape func(*connectum.Server, *health.Checker)) *connectum.Server {
	t.Helper()
	srv := connectum.New(cfg)
	testservice.Service{}.Register(srv.RPC())
	checks := health.Register(srv)
	if shape != nil {
		shape(srv, checks)
	}
	return srv
}

// examine returns what is found at an address: check and severity.
func examine(t *testing.T, address string, o target.Options) []string {
	t.Helper()
	to, err := target.New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	found, err := doctor.Examine(t.Context(), to, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range found {
		out = append(out, fmt.Sprintf("%s %s", f.Severity, f.Check))
	}
	return out
}

func TestASoundServerIsSound(t *testing.T) {
	t.Parallel()
	c := connectumtest.Certs(t)
	cfg := quiet()
	cfg.TLS = c.ServerTLS()
	s := connectumtest.Start(t, sound(t, cfg, nil), connectumtest.WithTLS(c.Trust()))
	if got := examine(t, s.TLSURL(), target.Options{CACert: c.CAFile}); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	plain := connectumtest.Start(t, sound(t, quiet(), func(srv *connectum.Server, _ *health.Checker) {
		srv.Handle("/", http.NotFoundHandler())
	}))
	if got := examine(t, plain.URL(), target.Options{}); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestFaultsOfServersAreFound(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page") })
	for name, c := range map[string]struct {
		cfg   func(*connectum.Config)
		shape func(*connectum.Server, *health.Checker)
		want  string
	}{
		"reflection": {shape: func(srv *connectum.Server, _ *health.Checker) { reflection.Register(srv) }, want: "warning live-reflection"},
		"unhealthy": {shape: func(_ *connectum.Server, checks *health.Checker) {
			if err := checks.Set("", health.NotServing); err != nil {
				t.Error(err)
			}
		}, want: "error live-health"},
		"profiles": {shape: func(srv *connectum.Server, _ *health.Checker) { srv.Handle("/debug/pprof/", page) }, want: "error live-debug"},
		"metrics":  {shape: func(srv *connectum.Server, _ *health.Checker) { srv.Handle("/metrics", page) }, want: "warning live-debug"},
		"any origin": {cfg: func(cfg *connectum.Config) {
			cfg.Middleware = append(cfg.Middleware, allow("*", ""))
		}, want: "warning live-cors"},
		"any origin with cookies": {cfg: func(cfg *connectum.Config) {
			cfg.Middleware = append(cfg.Middleware, allow("https://connectum-doctor.invalid", "true"))
		}, want: "error live-cors"},
		"GET": {cfg: func(cfg *connectum.Config) { cfg.AllowGET = true }, shape: func(srv *connectum.Server, _ *health.Checker) {
			reflection.Register(srv)
		}, want: "warning live-get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quiet()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			s := connectumtest.Start(t, sound(t, cfg, c.shape))
			got := slices.DeleteFunc(examine(t, s.URL(), target.Options{}), func(f string) bool { return name == "GET" && f == "warning live-reflection" })
			if !slices.Equal(got, []string{c.want}) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// The control to the origins above: those that are named are no fault.
func TestOriginsThatAreNamedAreNoFault(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Middleware = append(cfg.Middleware, cors.New(cors.Config{Origins: []string{"https://app.example.com"}}))
	s := connectumtest.Start(t, sound(t, cfg, nil))
	if got := examine(t, s.URL(), target.Options{}); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func allow(origin, credentials string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", credentials)
			next.ServeHTTP(w, r)
		})
	}
}

// A bare net/http server takes a mebibyte of headers, and has no health.
func TestServersWithoutBoundsOrHealthAreFound(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	got := examine(t, s.URL, target.Options{})
	if want := []string{"warning live-health", "warning live-headers"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestCertificatesOfServersAreJudged(t *testing.T) {
	t.Parallel()
	c := connectumtest.Certs(t)
	for name, o := range map[string]struct {
		cert    tls.Certificate
		options target.Options
		want    string
	}{
		"good":       {c.Server.TLS, target.Options{CACert: c.CAFile}, ""},
		"expired":    {c.Expired.TLS, target.Options{CACert: c.CAFile}, "error live-certificate"},
		"wrong name": {c.WrongName.TLS, target.Options{CACert: c.CAFile}, "error live-certificate"},
		"untrusted":  {c.Server.TLS, target.Options{TLS: true}, "error live-certificate"},
	} {
		got := examine(t, secureServer(t, &tls.Config{Certificates: []tls.Certificate{o.cert}}), o.options)
		got = slices.DeleteFunc(got, func(f string) bool {
			return strings.HasSuffix(f, "live-health") || strings.HasSuffix(f, "live-headers")
		})
		if strings.Join(got, ", ") != o.want {
			t.Errorf("%s: found %q, want %q", name, got, o.want)
		}
	}
}

func TestOldTLSIsFound(t *testing.T) {
	t.Parallel()
	c := connectumtest.Certs(t)
	old := secureServer(t, &tls.Config{Certificates: []tls.Certificate{c.Server.TLS}, MinVersion: tls.VersionTLS10})
	if got := examine(t, old, target.Options{CACert: c.CAFile}); !slices.Contains(got, "error live-old-tls") {
		t.Errorf("found %q", got)
	}
}

// secureServer is a bare one.
func secureServer(t *testing.T, config *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = config
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}
