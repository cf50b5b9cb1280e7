package env_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/env"
)

// samples are a value for each variable that differs from its default.
func samples(t testing.TB) map[string]string {
	certs := connectumtest.Certs(t)
	return map[string]string{
		"PORT": "6000", "LISTEN": "127.0.0.1", "ADMIN_LISTEN": "localhost:9090",
		"TLS_CERT": certs.Server.CertFile, "TLS_KEY": string(certs.Server.KeyPEM), "TLS_CLIENT_CA": string(certs.CAPEM), "TLS_CLIENT_AUTH": "request",
		"TLS_RELOAD_INTERVAL": "2s", "LOG_LEVEL": "warn", "LOG_FORMAT": "text",
		"SHUTDOWN_TIMEOUT": "20s", "DRAIN_DELAY": "5s", "STREAM_GRACE": "3s", "SHUTDOWN_NO_FORCE": "1", "ALLOW_GET": "yes",
		"REQUEST_TIMEOUT": "7s", "MAX_RECEIVE_BYTES": "1000", "MAX_JSON_BYTES": "1001", "MAX_SEND_BYTES": "1002",
		"DECODE_BUDGET_BYTES": "1003", "COMPRESS_MIN_BYTES": "1004", "MAX_HEADER_BYTES": "1025",
		"MAX_CONNS": "2", "MAX_IN_FLIGHT": "3", "MAX_CONCURRENT_STREAMS": "4", "STREAM_BUFFER_BYTES": "65536", "CONNECTION_BUFFER_BYTES": "65537",
		"MAX_CONNECTION_AGE": "30m", "CONNECTION_AGE_JITTER": "0.5",
		"HEADER_TIMEOUT": "11s", "HANDSHAKE_TIMEOUT": "12s", "IDLE_TIMEOUT": "13s", "READ_STALL": "14s", "WRITE_STALL": "16s",
		"PING_INTERVAL": "17s", "PING_TIMEOUT": "18s",
	}
}

func parse(t testing.TB, variables map[string]string) env.Config {
	t.Helper()
	var c env.Config
	if err := env.ParseFrom(&c, variables); err != nil {
		t.Fatal(err)
	}
	return c
}

// Behaviours 16 and 74. What a field then does is the root's to test, and
// server_test.go's for a selection; here each variable reaches its own fields
// and no other.
func TestEveryVariableSetsItsFieldsAlone(t *testing.T) {
	t.Parallel()
	all := samples(t)
	for _, v := range env.Variables() {
		if all[v.Name] == "" {
			t.Errorf("%s is not tried", v.Name)
			continue
		}
		given, sets := map[string]string{v.Name: all[v.Name]}, v.Sets
		if v.Name == "TLS_CERT" || v.Name == "TLS_KEY" { // one does not go alone
			given["TLS_CERT"], given["TLS_KEY"] = all["TLS_CERT"], all["TLS_KEY"]
			sets = "TLS.CertFile, TLS.KeyPEM"
		}
		got := differences(reflect.ValueOf(connectum.Config{}), reflect.ValueOf(parse(t, given).Server()), "")
		allowed := strings.Split(sets, ", ")
		if len(got) == 0 || slices.ContainsFunc(got, func(field string) bool { return !slices.Contains(allowed, field) }) {
			t.Errorf("%s sets %q, want %s", v.Name, got, sets)
		}
	}
	if got := differences(reflect.ValueOf(connectum.Config{}), reflect.ValueOf(parse(t, nil).Server()), ""); len(got) > 0 {
		t.Errorf("an empty environment sets %q", got)
	}
	cfg := parse(t, all).Server()
	if err := connectum.New(cfg).Check(); err != nil {
		t.Errorf("together: %v", err)
	}
	want := connectum.Limits{Timeout: 7 * time.Second, MaxReceiveBytes: 1000, MaxJSONBytes: 1001, MaxSendBytes: 1002,
		DecodeBudget: 1003, CompressMinBytes: 1004, MaxHeaderBytes: 1025, MaxConns: 2, MaxInFlight: 3, MaxConcurrentStreams: 4,
		StreamBuffer: 65536, ConnBuffer: 65537, MaxConnectionAge: 30 * time.Minute, AgeJitter: 0.5,
		HeaderTimeout: 11 * time.Second, HandshakeTimeout: 12 * time.Second, IdleTimeout: 13 * time.Second,
		ReadStall: 14 * time.Second, WriteStall: 16 * time.Second, PingInterval: 17 * time.Second, PingTimeout: 18 * time.Second}
	if got := differences(reflect.ValueOf(want), reflect.ValueOf(cfg.Limits), "Limits."); len(got) > 0 {
		t.Errorf("%q are not as wanted: %+v", got, cfg.Limits)
	}
	if s := (connectum.Shutdown{Timeout: 20 * time.Second, DrainDelay: 5 * time.Second, StreamGrace: 3 * time.Second, NoForce: true}); cfg.Shutdown != s {
		t.Errorf("%+v, want %+v", cfg.Shutdown, s)
	}
	if cfg.Addr != "127.0.0.1:6000" || cfg.AdminAddr != "localhost:9090" || !cfg.AllowGET {
		t.Errorf("%q, %q, %v", cfg.Addr, cfg.AdminAddr, cfg.AllowGET)
	}
	if cfg.TLS.CertFile != all["TLS_CERT"] || string(cfg.TLS.KeyPEM) != all["TLS_KEY"] || string(cfg.TLS.ClientCAPEM) != all["TLS_CLIENT_CA"] ||
		cfg.TLS.ClientAuth != connectum.ClientAuthRequest || cfg.TLS.ReloadInterval != 2*time.Second {
		t.Errorf("TLS is %v and so on", cfg.TLS.ClientAuth)
	}
}

// What the environment can't say is listed, so that a new field of the root is
// not forgotten.
func TestEveryFieldOfTheServerHasAVariable(t *testing.T) {
	t.Parallel()
	set := map[string]bool{
		"Interceptors": true, "Middleware": true, "Codecs": true, "Compressors": true, // code
		"TLS.Config":          true, // code
		"Limits.PerProcedure": true, // a part of the program
	}
	for _, v := range env.Variables() {
		for field := range strings.SplitSeq(v.Sets, ", ") {
			set[field] = true
		}
	}
	var walk func(t reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for f := range typ.Fields() {
			name := path + f.Name
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, name+".")
			} else if !set[name] {
				t.Errorf("connectum.Config.%s has no variable", name)
			}
			delete(set, name)
		}
	}
	walk(reflect.TypeFor[connectum.Config](), "")
	for name := range set {
		t.Errorf("connectum.Config.%s does not exist", name)
	}
}

func TestWhatCodeSetsWins(t *testing.T) {
	t.Parallel()
	var cfg connectum.Config
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.String:
			v.SetString("code")
		case reflect.Int, reflect.Int64:
			v.SetInt(-1) // none is a setting too
		case reflect.Float64:
			v.SetFloat(1)
		case reflect.Bool:
			v.SetBool(true)
		}
	}
	fill(reflect.ValueOf(&cfg).Elem())
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.TLS.CertPEM, cfg.TLS.KeyPEM, cfg.TLS.ClientCAPEM = []byte("code"), []byte("code"), []byte("code")
	want := cfg
	parse(t, samples(t)).Apply(&cfg)
	if got := differences(reflect.ValueOf(want), reflect.ValueOf(cfg), ""); len(got) > 0 {
		t.Errorf("the environment has changed %q", got)
	}
}

// A certificate of one source never meets a key of the other, and a tls.Config
// that says nothing of certificates does not keep the environment's out.
func TestPairsAreTakenWhole(t *testing.T) {
	t.Parallel()
	c := parse(t, samples(t))
	for name, test := range map[string]struct {
		code                        connectum.TLS
		wantCert, wantCA, wantAsked bool
	}{
		"nothing":               {connectum.TLS{}, true, true, true},
		"a certificate file":    {connectum.TLS{CertFile: "code"}, false, true, true},
		"a key file":            {connectum.TLS{KeyFile: "code"}, false, true, true},
		"an inline key":         {connectum.TLS{KeyPEM: []byte("code")}, false, true, true},
		"an inline cert":        {connectum.TLS{CertPEM: []byte("code")}, false, true, true},
		"versions":              {connectum.TLS{Config: &tls.Config{MinVersion: tls.VersionTLS13}}, true, true, true},
		"certificates":          {connectum.TLS{Config: &tls.Config{Certificates: make([]tls.Certificate, 1)}}, false, true, true},
		"GetCertificate":        {connectum.TLS{Config: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}}, false, true, true},
		"GetConfigForClient":    {connectum.TLS{Config: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }}}, false, true, true},
		"client CAs":            {connectum.TLS{Config: &tls.Config{ClientCAs: x509.NewCertPool()}}, true, false, true},
		"a wish to clients":     {connectum.TLS{Config: &tls.Config{ClientAuth: tls.RequireAnyClientCert}}, true, true, false},
		"a CA file":             {connectum.TLS{ClientCAFile: "code"}, true, false, true},
		"ClientAuth of its own": {connectum.TLS{ClientAuth: connectum.ClientAuthRequire}, true, true, false},
	} {
		cfg := connectum.Config{TLS: test.code}
		c.Apply(&cfg)
		got := cfg.TLS
		hasCert, hasKey := got.CertFile == c.TLSCert.File(), bytes.Equal(got.KeyPEM, c.TLSKey.Inline())
		if hasCert != test.wantCert || hasKey != test.wantCert {
			t.Errorf("%s: the certificate of the environment is used: %v, its key: %v, want both %v", name, hasCert, hasKey, test.wantCert)
		}
		if hasCA := bytes.Equal(got.ClientCAPEM, c.TLSClientCA.Inline()); hasCA != test.wantCA {
			t.Errorf("%s: the client CAs of the environment are used: %v, want %v", name, hasCA, test.wantCA)
		}
		if asked := got.ClientAuth == connectum.ClientAuthRequest; asked != test.wantAsked {
			t.Errorf("%s: TLS_CLIENT_AUTH is used: %v, want %v", name, asked, test.wantAsked)
		}
	}
}

func TestNoneIsNoLimit(t *testing.T) {
	t.Parallel()
	limits := parse(t, map[string]string{"REQUEST_TIMEOUT": "none", "MAX_CONNS": "none", "DECODE_BUDGET_BYTES": "none"}).Server().Limits
	if limits.Timeout >= 0 || limits.MaxConns >= 0 || limits.DecodeBudget >= 0 {
		t.Errorf("%v, %v, %v, want none of them", limits.Timeout, limits.MaxConns, limits.DecodeBudget)
	}
}

func TestTheLoggerHasFormAndLevel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ level, format, want string }{
		{"", "", `"msg":"info"` + `"msg":"warn"`}, {"debug", "json", `"msg":"debug"` + `"msg":"info"` + `"msg":"warn"`}, {"warn", "text", "msg=warn"},
	} {
		var buf bytes.Buffer
		log := parse(t, map[string]string{"LOG_LEVEL": test.level, "LOG_FORMAT": test.format}).Logger(&buf)
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
			log.Log(context.Background(), level, strings.ToLower(level.String()))
		}
		var got string
		for field := range strings.FieldsFuncSeq(buf.String(), func(r rune) bool { return strings.ContainsRune(" ,{}\n", r) }) {
			if strings.Contains(field, "msg") {
				got += field
			}
		}
		if got != test.want {
			t.Errorf("LOG_LEVEL=%s LOG_FORMAT=%s: %q", test.level, test.format, buf.String())
		}
	}
}

func TestAddressesAreJoined(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, port, want string }{
		{"", "", ""}, {"", "80", ":80"}, {"::1", "80", "[::1]:80"}, {"[::1]", "80", "[::1]:80"}, {"host", "", "host:5000"},
		{"host:90", "80", "host:90"}, {"unix:///run/s", "80", "unix:///run/s"}, {"0.0.0.0", "", "0.0.0.0:5000"},
		{"localhost:0", "80", "localhost:0"}, {":90", "80", ":90"}, {"fe80::1%eth0", "80", "[fe80::1%eth0]:80"},
	} {
		if got := parse(t, map[string]string{"LISTEN": c.listen, "PORT": c.port}).Server().Addr; got != c.want {
			t.Errorf("LISTEN=%s PORT=%s: %q, want %q", c.listen, c.port, got, c.want)
		}
	}
}

func TestParseReadsTheProcess(t *testing.T) {
	t.Setenv("PORT", "6001")
	t.Setenv("MAX_CONNS", "12")
	cfg, err := env.Load()
	if err != nil || cfg.Port != 6001 || cfg.MaxConns != 12 {
		t.Errorf("%v, %v, %v", cfg.Port, cfg.MaxConns, err)
	}
	// And given variables are all there is, even none.
	for _, given := range []map[string]string{nil, {}} {
		if cfg := parse(t, given); cfg.Port != 0 || cfg.MaxConns != 0 {
			t.Errorf("from %v: %v, %v", given, cfg.Port, cfg.MaxConns)
		}
	}
}

// Behaviour 38, with other names and defaults than the original's where the table
// says so.
func TestTheGuideListsEveryVariable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/environment.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, v := range env.Variables() {
		sets := "`" + strings.ReplaceAll(v.Sets, ", ", "`, `") + "`"
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", v.Name, sets, v.Help); !strings.Contains(string(page), row) {
			t.Errorf("docs/environment.md lacks the row\n%s", row)
		}
		rows++
	}
	if got := strings.Count(string(page), "\n| `"); got != rows {
		t.Errorf("docs/environment.md has %d rows, want %d", got, rows)
	}
}

// differences lists the fields that differ, by path.
func differences(a, b reflect.Value, path string) (out []string) {
	for i := range a.NumField() {
		f, name := a.Type().Field(i), path+a.Type().Field(i).Name
		switch {
		case f.Type.Kind() == reflect.Struct:
			out = append(out, differences(a.Field(i), b.Field(i), name+".")...)
		case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			out = append(out, name)
		}
	}
	return out
}

func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	f.Add("PORT", "80")
	f.Add("TLS_KEY", "-----BEGIN PRIVATE KEY-----\nhunter2")
	f.Add("TLS_CERT", filepath.Join(dir, "none"))
	f.Add("LISTEN", "[::1]:80")
	f.Add("ADMIN_LISTEN", "unix:///x")
	f.Add("DRAIN_DELAY", "1h1ns")
	f.Add("CONNECTION_AGE_JITTER", "NaN")
	f.Fuzz(func(t *testing.T, name, value string) {
		before := env.Config{Port: 1}
		c := before
		if err := env.ParseFrom(&c, map[string]string{name: value}); err != nil {
			if c != before {
				t.Errorf("%s=%q: a failed parse left %+v", name, value, c)
			}
			return
		}
		// What is allowed, the server takes.
		cfg := c.Server()
		cfg.TLS = connectum.TLS{}
		if err := connectum.New(cfg).Check(); err != nil {
			t.Errorf("%s=%q: %v", name, value, err)
		}
	})
}
