package env_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/env"
)

const pem = "-----BEGIN PRIVATE KEY-----\nhunter2"

// Behaviours 16 and 74: every variable reaches the configuration.
func TestEveryVariableReachesTheServer(t *testing.T) {
	t.Parallel()
	vars := map[string]string{
		"PORT": "6000", "LISTEN": "127.0.0.1", "ADMIN_LISTEN": "localhost:9090",
		"TLS_CERT": "/tls/crt", "TLS_KEY": pem, "TLS_CLIENT_CA": "/tls/ca", "TLS_CLIENT_AUTH": "request",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "text", "SHUTDOWN_TIMEOUT": "20s", "DRAIN_DELAY": "5s", "STREAM_GRACE": "3s",
		"REQUEST_TIMEOUT": "7s", "MAX_CONNECTION_AGE": "30m", "MAX_RECEIVE_BYTES": "1", "MAX_CONNS": "2", "MAX_IN_FLIGHT": "3",
		"MAX_CONCURRENT_STREAMS": "4", "ALLOW_GET": "yes",
	}
	for _, v := range env.Variables() {
		if vars[v.Name] == "" {
			t.Errorf("%s is not tried", v.Name)
		}
	}
	var c env.Config
	if err := env.ParseFrom(&c, vars); err != nil {
		t.Fatal(err)
	}
	got := c.Server()
	var want connectum.Config
	want.Addr, want.AdminAddr, want.AllowGET = "127.0.0.1:6000", "localhost:9090", true
	want.TLS = connectum.TLS{CertFile: "/tls/crt", KeyPEM: []byte(pem), ClientCAFile: "/tls/ca", ClientAuth: connectum.ClientAuthRequest}
	want.Shutdown = connectum.Shutdown{Timeout: 20 * time.Second, DrainDelay: 5 * time.Second, StreamGrace: 3 * time.Second}
	want.Limits = connectum.Limits{Timeout: 7 * time.Second, MaxConnectionAge: 30 * time.Minute, MaxReceiveBytes: 1, MaxConns: 2, MaxInFlight: 3, MaxConcurrentStreams: 4}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	var buf bytes.Buffer
	log := c.Logger(&buf)
	log.Info("hidden")
	log.Warn("shown")
	if got := buf.String(); strings.Contains(got, "hidden") || !strings.Contains(got, "msg=shown") {
		t.Errorf("logged %q", got)
	}
}

func TestWhatCodeSetsWinsAndNothingIsTheDefault(t *testing.T) {
	t.Parallel()
	var c env.Config
	if err := env.ParseFrom(&c, map[string]string{"PORT": "6000", "DRAIN_DELAY": "5s"}); err != nil {
		t.Fatal(err)
	}
	cfg := connectum.Config{Addr: ":7000"}
	c.Apply(&cfg)
	if cfg.Addr != ":7000" || cfg.Shutdown.DrainDelay != 5*time.Second {
		t.Errorf("%q, %v", cfg.Addr, cfg.Shutdown.DrainDelay)
	}
	if got := fmt.Sprintf("%+v", env.Config{}.Server()); got != fmt.Sprintf("%+v", connectum.Config{}) {
		t.Errorf("an empty environment sets %s", got)
	}
}

// Behaviours 39 to 41.
func TestMistakesAreReportedTogetherWithoutSecrets(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]string{
		"PORT": {"0", "70000", "-1", "text"}, "ADMIN_LISTEN": {"nonsense"}, "TLS_CLIENT_AUTH": {"maybe"},
		"LOG_LEVEL": {"trace", "INFO"}, "LOG_FORMAT": {"xml"}, "SHUTDOWN_TIMEOUT": {"25", "-1s", "11m"}, "DRAIN_DELAY": {"x", "-1s"},
		"STREAM_GRACE": {"x"}, "REQUEST_TIMEOUT": {"x"}, "MAX_CONNECTION_AGE": {"x"}, "MAX_RECEIVE_BYTES": {"0", "x"},
		"MAX_CONNS": {"-1"}, "MAX_IN_FLIGHT": {"1.5"}, "MAX_CONCURRENT_STREAMS": {""[:0] + "x"}, "ALLOW_GET": {"maybe"},
	} {
		for _, value := range bad {
			err := env.ParseFrom(new(env.Config), map[string]string{name: value, "TLS_KEY": pem})
			if err == nil || !strings.Contains(err.Error(), "env: "+name+": "+fmt.Sprintf("%q", value)+" is not allowed") ||
				strings.Count(err.Error(), "\n") != 0 {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
	err := env.ParseFrom(new(env.Config), map[string]string{"PORT": "0", "LOG_LEVEL": "trace", "MAX_CONNS": "x", "TLS_KEY": pem})
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 3 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%d lines: %v", n, err)
	}
	for _, value := range []string{"1", "65535"} {
		if err := env.ParseFrom(new(env.Config), map[string]string{"PORT": value}); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesAreJoined(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, port, want string }{
		{"", "", ""}, {"", "80", ":80"}, {"::1", "80", "[::1]:80"}, {"[::1]", "80", "[::1]:80"}, {"host", "", "host:5000"},
		{"host:90", "80", "host:90"}, {"unix:///run/s", "80", "unix:///run/s"},
	} {
		var cfg env.Config
		if err := env.ParseFrom(&cfg, map[string]string{"LISTEN": c.listen, "PORT": c.port}); err != nil {
			t.Fatal(err)
		}
		if got := cfg.Server().Addr; got != c.want {
			t.Errorf("LISTEN=%s PORT=%s: %q, want %q", c.listen, c.port, got, c.want)
		}
	}
}

func TestTheGuideListsEveryVariable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/environment.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range env.Variables() {
		if row := fmt.Sprintf("| `%s` | %s |", v.Name, v.Help); !strings.Contains(string(page), row) {
			t.Errorf("docs/environment.md lacks the row\n%s", row)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("PORT", "80")
	f.Add("TLS_KEY", pem)
	f.Add("LISTEN", "[::1]:80")
	f.Fuzz(func(t *testing.T, name, value string) {
		var c env.Config
		if err := env.ParseFrom(&c, map[string]string{name: value}); err == nil {
			_ = c.Server() // must not panic
		}
	})
}
