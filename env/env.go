// Package env configures a server from environment variables, as containers
// set them (https://12factor.net/config).
//
//	cfg, err := env.Load()
//	if err != nil {
//		log.Fatal(err) // every mistake at once
//	}
//	slog.SetDefault(cfg.Logger(os.Stderr))
//	srv := connectum.New(cfg.Server())
//
// A service with variables of its own embeds [Config] and calls [Parse]. What
// code has set wins over the environment, and the environment over defaults;
// see [Config.Apply]. docs/environment.md lists the variables.
package env

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	envlib "github.com/caarlos0/env/v11"

	"github.com/connectum-go/connectum"
)

// Config is what the environment says of a server. A variable that is not set,
// or empty, leaves its field at zero, which means the default that the tag doc
// names.
type Config struct {
	Port        int    `env:"PORT" help:"Port to listen on, 1 to 65535. The default is 5000."`
	Listen      string `env:"LISTEN" help:"Host to listen on, or host:port, which wins over PORT, or unix:///path. The default is every address."`
	AdminListen string `env:"ADMIN_LISTEN" help:"Address of the admin listener, host:port or :port. The default is none."`

	TLSCert       string     `env:"TLS_CERT" help:"Certificate and its chain: a PEM file, or the PEM itself. The default is plaintext." secret:"true"`
	TLSKey        string     `env:"TLS_KEY" help:"Private key: a PEM file, or the PEM itself." secret:"true"`
	TLSClientCA   string     `env:"TLS_CLIENT_CA" help:"Authorities that client certificates are verified against: a PEM file, or the PEM itself." secret:"true"`
	TLSClientAuth ClientAuth `env:"TLS_CLIENT_AUTH" help:"Client certificates: none, request or require. The default is require with TLS_CLIENT_CA, else none."`

	LogLevel  Level  `env:"LOG_LEVEL" help:"Least level that is logged: debug, info, warn or error. The default is info."`
	LogFormat Format `env:"LOG_FORMAT" help:"Form of log lines: json or text. The default is json."`

	ShutdownTimeout Duration `env:"SHUTDOWN_TIMEOUT" help:"Budget of the whole stop, such as 25s; at most 10m. The default is 25s."`
	DrainDelay      Duration `env:"DRAIN_DELAY" help:"How long the server goes on after its readiness has fallen; 5s in Kubernetes. The default is 0s."`
	StreamGrace     Duration `env:"STREAM_GRACE" help:"How long streams may take to finish by themselves. The default is 5s."`
	RequestTimeout  Duration `env:"REQUEST_TIMEOUT" help:"Limit of a unary call. The default is 30s."`
	MaxConnAge      Duration `env:"MAX_CONNECTION_AGE" help:"Age at which clients are asked to leave a connection. The default is none."`

	MaxReceiveBytes      Count `env:"MAX_RECEIVE_BYTES" help:"Limit of one request message, in bytes. The default is 4194304."`
	MaxConns             Count `env:"MAX_CONNS" help:"Limit of open connections. The default is 10000."`
	MaxInFlight          Count `env:"MAX_IN_FLIGHT" help:"Limit of calls in flight. The default is 1000 for each processor."`
	MaxConcurrentStreams Count `env:"MAX_CONCURRENT_STREAMS" help:"Limit of calls in flight on one HTTP/2 connection. The default is 100."`
	AllowGET             Bool  `env:"ALLOW_GET" help:"Answer Connect's GET for procedures without side effects: true, false, 1, 0, yes or no. The default is false."`
}

// Load reads the environment of the process. Its error reports every mistake,
// a line each: the variable, its value unless that may be a secret, and what
// is allowed.
func Load() (Config, error) {
	var c Config
	err := Parse(&c)
	return c, err
}

// Parse is [Load] for a struct that embeds [Config] beside variables of its
// own, in the tags of github.com/caarlos0/env. dst must be a pointer to it.
func Parse(dst any) error { return ParseFrom(dst, environ()) }

// ParseFrom is [Parse] from given variables.
func ParseFrom(dst any, variables map[string]string) error {
	err := envlib.ParseWithOptions(dst, envlib.Options{Environment: variables})
	var faults []error
	if report, ok := errors.AsType[envlib.AggregateError](err); ok {
		for _, e := range report.Errors {
			faults = append(faults, name(dst, e, variables))
		}
	} else if err != nil {
		faults = append(faults, fmt.Errorf("env: %w", err))
	}
	if c := embedded(reflect.ValueOf(dst)); c != nil {
		faults = append(faults, c.check(variables)...)
	}
	slices.SortStableFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// name tells a library's parse error by its variable rather than its field.
func name(dst any, err error, variables map[string]string) error {
	parse, ok := errors.AsType[envlib.ParseError](err)
	if !ok {
		return fmt.Errorf("env: %w", err)
	}
	for _, v := range Variables() {
		if v.field == parse.Name {
			return fault(v, variables[v.Name])
		}
	}
	return fmt.Errorf("env: %w", err)
}

func fault(v Variable, value string) error {
	shown := strconv.Quote(value)
	if v.secret {
		shown = "the value"
	}
	return fmt.Errorf("env: %s: %s is not allowed: %s", v.Name, shown, v.Help)
}

// check holds the values to their bounds.
func (c *Config) check(variables map[string]string) []error {
	var faults []error
	bad := func(name string) {
		for _, v := range Variables() {
			if v.Name == name {
				faults = append(faults, fault(v, variables[name]))
			}
		}
	}
	if c.Port < 0 || c.Port > 65535 || c.Port == 0 && variables["PORT"] != "" {
		if _, err := strconv.Atoi(variables["PORT"]); err == nil { // else it is reported
			bad("PORT")
		}
	}
	if c.ShutdownTimeout > Duration(10*time.Minute) {
		bad("SHUTDOWN_TIMEOUT")
	}
	if host, _, err := net.SplitHostPort(c.AdminListen); c.AdminListen != "" && (err != nil || strings.Contains(host, "/")) {
		bad("ADMIN_LISTEN")
	}
	return faults
}

// Server returns the configuration of a server.
func (c Config) Server() connectum.Config {
	var cfg connectum.Config
	c.Apply(&cfg)
	return cfg
}

// Apply sets the fields of cfg that are zero to what the environment says:
// what code has set stays.
func (c Config) Apply(cfg *connectum.Config) {
	cfg.Addr = cmp.Or(cfg.Addr, c.addr())
	cfg.AdminAddr = cmp.Or(cfg.AdminAddr, c.AdminListen)
	t := &cfg.TLS
	if t.Config == nil && t.CertFile == "" && t.CertPEM == nil {
		t.CertFile, t.CertPEM = fileOrPEM(c.TLSCert)
	}
	if t.Config == nil && t.KeyFile == "" && t.KeyPEM == nil {
		t.KeyFile, t.KeyPEM = fileOrPEM(c.TLSKey)
	}
	if t.ClientCAFile == "" && t.ClientCAPEM == nil {
		t.ClientCAFile, t.ClientCAPEM = fileOrPEM(c.TLSClientCA)
	}
	t.ClientAuth = cmp.Or(t.ClientAuth, connectum.ClientAuth(c.TLSClientAuth))
	s := &cfg.Shutdown
	s.Timeout = cmp.Or(s.Timeout, time.Duration(c.ShutdownTimeout))
	s.DrainDelay = cmp.Or(s.DrainDelay, time.Duration(c.DrainDelay))
	s.StreamGrace = cmp.Or(s.StreamGrace, time.Duration(c.StreamGrace))
	l := &cfg.Limits
	l.Timeout = cmp.Or(l.Timeout, time.Duration(c.RequestTimeout))
	l.MaxConnectionAge = cmp.Or(l.MaxConnectionAge, time.Duration(c.MaxConnAge))
	l.MaxReceiveBytes = cmp.Or(l.MaxReceiveBytes, int(c.MaxReceiveBytes))
	l.MaxConns = cmp.Or(l.MaxConns, int(c.MaxConns))
	l.MaxInFlight = cmp.Or(l.MaxInFlight, int(c.MaxInFlight))
	l.MaxConcurrentStreams = cmp.Or(l.MaxConcurrentStreams, int(c.MaxConcurrentStreams))
	cfg.AllowGET = cfg.AllowGET || bool(c.AllowGET)
}

// addr joins LISTEN and PORT, or is empty when neither is set.
func (c Config) addr() string {
	if c.Listen == "" && c.Port == 0 {
		return ""
	}
	if strings.HasPrefix(c.Listen, "unix://") {
		return c.Listen
	}
	if _, _, err := net.SplitHostPort(c.Listen); err == nil {
		return c.Listen
	}
	return net.JoinHostPort(strings.Trim(c.Listen, "[]"), strconv.Itoa(cmp.Or(c.Port, 5000)))
}

// Logger returns a logger that writes to w in the form and from the level that
// the environment asks for.
func (c Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(c.LogLevel)}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func fileOrPEM(value string) (file string, pem []byte) {
	switch {
	case value == "":
		return "", nil
	case strings.Contains(value, "-----BEGIN"):
		return "", []byte(value)
	}
	return value, nil
}

// embedded finds the Config in a struct.
func embedded(v reflect.Value) *Config {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || !v.CanAddr() {
		return nil
	}
	if c, ok := v.Addr().Interface().(*Config); ok {
		return c
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && f.IsExported() {
			if c := embedded(v.Field(i)); c != nil {
				return c
			}
		}
	}
	return nil
}

func environ() map[string]string {
	out := map[string]string{}
	for _, line := range os.Environ() {
		if k, v, ok := strings.Cut(line, "="); ok {
			out[k] = v
		}
	}
	return out
}

var _ = []encoding.TextUnmarshaler{new(Duration), new(Count), new(Bool), new(Level), new(Format), new(ClientAuth)}
