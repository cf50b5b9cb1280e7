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
	"reflect"
	"slices"
)

// Config is what the environment says of a server. A variable that is not set,
// or empty, leaves its field as it is. Zero means the default that the tag help
// names. It may be printed and logged: inline PEM does not show.
//
// Durations are Go's, such as 25s or 1m30s; sizes are in bytes. Where help
// offers none, that means without limit.
type Config struct {
	Port        Count  `env:"PORT" sets:"Addr" min:"1" max:"65535" help:"Port to listen on, 1 to 65535. The default is 5000."`
	Listen      Listen `env:"LISTEN" sets:"Addr" help:"Host to listen on, or host:port, which wins over PORT, or unix:///path. The default is every address."`
	AdminListen Listen `env:"ADMIN_LISTEN" sets:"AdminAddr" port:"required" help:"Address of the admin listener, host:port, :port or unix:///path. The default is none."`

	TLSCert           PEM        `env:"TLS_CERT" sets:"TLS.CertFile, TLS.CertPEM" pem:"CERTIFICATE" help:"Certificate and its chain: a PEM file, or the PEM itself. It goes with TLS_KEY. The default is plaintext."`
	TLSKey            PEM        `env:"TLS_KEY" sets:"TLS.KeyFile, TLS.KeyPEM" pem:"PRIVATE KEY" help:"Private key of TLS_CERT: a PEM file, or the PEM itself."`
	TLSClientCA       PEM        `env:"TLS_CLIENT_CA" sets:"TLS.ClientCAFile, TLS.ClientCAPEM" pem:"CERTIFICATE" help:"Authorities that client certificates are verified against: a PEM file, or the PEM itself. The default is none."`
	TLSClientAuth     ClientAuth `env:"TLS_CLIENT_AUTH" sets:"TLS.ClientAuth" help:"Client certificates: none, request or require. The default is require with TLS_CLIENT_CA, else none."`
	TLSReloadInterval Duration   `env:"TLS_RELOAD_INTERVAL" sets:"TLS.ReloadInterval" min:"10ms" none:"yes" help:"How often the PEM files are looked at for changes, or none. The default is 1s."`

	LogLevel  Level  `env:"LOG_LEVEL" sets:"Logger" help:"Least level that is logged: debug, info, warn or error. The default is info."`
	LogFormat Format `env:"LOG_FORMAT" sets:"Logger" help:"Form of log lines: json or text. The default is json."`

	ShutdownTimeout Duration `env:"SHUTDOWN_TIMEOUT" sets:"Shutdown.Timeout" min:"1s" max:"10m" help:"Budget of the whole stop, 1s to 10m, below what the orchestrator gives. The default is 25s."`
	DrainDelay      Duration `env:"DRAIN_DELAY" sets:"Shutdown.DrainDelay" min:"0s" max:"10m" help:"How long the server goes on after its readiness has fallen; 5s in Kubernetes. The default is 0s."`
	StreamGrace     Duration `env:"STREAM_GRACE" sets:"Shutdown.StreamGrace" min:"1ms" none:"yes" help:"How long streams may take to finish by themselves, or none. The default is 5s."`
	ShutdownNoForce Bool     `env:"SHUTDOWN_NO_FORCE" sets:"Shutdown.NoForce" help:"Wait for calls for as long as they take: true or false. The default is false."`

	AllowGET Bool `env:"ALLOW_GET" sets:"AllowGET" help:"Answer Connect's GET for procedures without side effects: true or false. The default is false."`

	RequestTimeout   Duration `env:"REQUEST_TIMEOUT" sets:"Limits.Timeout" min:"1ms" none:"yes" help:"Limit of a unary call, or none. The default is 30s."`
	MaxReceiveBytes  Count    `env:"MAX_RECEIVE_BYTES" sets:"Limits.MaxReceiveBytes" min:"1" none:"yes" help:"Limit of one request message, or none. The default is 4194304."`
	MaxJSONBytes     Count    `env:"MAX_JSON_BYTES" sets:"Limits.MaxJSONBytes" min:"1" none:"yes" help:"Limit of one request message in JSON, or none. The default is 1048576."`
	MaxSendBytes     Count    `env:"MAX_SEND_BYTES" sets:"Limits.MaxSendBytes" min:"1" none:"yes" help:"Limit of one response message, or none. The default is 16777216."`
	DecodeBudget     Count    `env:"DECODE_BUDGET_BYTES" sets:"Limits.DecodeBudget" min:"1" none:"yes" help:"Limit of the large messages in use at one time: proto counts 8 times its size, JSON 16 times; or none. The default is 67108864."`
	CompressMinBytes Count    `env:"COMPRESS_MIN_BYTES" sets:"Limits.CompressMinBytes" min:"1" help:"Size from which responses are compressed. The default is 1024."`
	MaxHeaderBytes   Count    `env:"MAX_HEADER_BYTES" sets:"Limits.MaxHeaderBytes" min:"1024" help:"Limit of the header block of a request, at least 1024. The default is 32768."`

	MaxConns             Count    `env:"MAX_CONNS" sets:"Limits.MaxConns" min:"1" none:"yes" help:"Limit of open connections, or none. The default is 10000."`
	MaxInFlight          Count    `env:"MAX_IN_FLIGHT" sets:"Limits.MaxInFlight" min:"1" none:"yes" help:"Limit of calls in flight, or none. The default is 1000 for each processor."`
	MaxConcurrentStreams Count    `env:"MAX_CONCURRENT_STREAMS" sets:"Limits.MaxConcurrentStreams" min:"1" help:"Limit of calls in flight on one HTTP/2 connection. The default is 100."`
	StreamBuffer         Count    `env:"STREAM_BUFFER_BYTES" sets:"Limits.StreamBuffer" min:"65536" max:"4194303" help:"Flow-control window of an HTTP/2 stream, 65536 to 4194303. The default is 262144."`
	ConnBuffer           Count    `env:"CONNECTION_BUFFER_BYTES" sets:"Limits.ConnBuffer" min:"65536" max:"4194303" help:"Flow-control window of an HTTP/2 connection, 65536 to 4194303. The default is 1048576."`
	MaxConnAge           Duration `env:"MAX_CONNECTION_AGE" sets:"Limits.MaxConnectionAge" min:"1s" none:"yes" help:"Age at which clients are asked to leave a connection, or none. The default is none."`
	ConnAgeJitter        Fraction `env:"CONNECTION_AGE_JITTER" sets:"Limits.AgeJitter" help:"How much MAX_CONNECTION_AGE varies, above 0 and at most 1. The default is 0.1."`

	HeaderTimeout    Duration `env:"HEADER_TIMEOUT" sets:"Limits.HeaderTimeout" min:"1ms" none:"yes" help:"Limit of the time to send a header block, or none. The default is 5s."`
	HandshakeTimeout Duration `env:"HANDSHAKE_TIMEOUT" sets:"Limits.HandshakeTimeout" min:"1ms" none:"yes" help:"Limit of the TLS handshake, or none. The default is 5s."`
	IdleTimeout      Duration `env:"IDLE_TIMEOUT" sets:"Limits.IdleTimeout" min:"1ms" none:"yes" help:"Age of a silence after which a connection without calls is closed, longer than the balancer's own, or none. The default is 120s."`
	ReadStall        Duration `env:"READ_STALL" sets:"Limits.ReadStall" min:"1ms" none:"yes" help:"Longest wait for more of a request, or none. The default is 15s."`
	WriteStall       Duration `env:"WRITE_STALL" sets:"Limits.WriteStall" min:"1ms" none:"yes" help:"Longest wait for a client to take more of a response, or none. The default is 15s."`
	PingInterval     Duration `env:"PING_INTERVAL" sets:"Limits.PingInterval" min:"1ms" none:"yes" help:"Silence after which an HTTP/2 connection is probed, or none. The default is 30s."`
	PingTimeout      Duration `env:"PING_TIMEOUT" sets:"Limits.PingTimeout" min:"1ms" help:"Longest wait for the answer to the probe. The default is 15s."`
}

// Load reads the environment of the process. Its error reports every mistake,
// a line each: the variable, its value unless that may be a secret, and what
// is wanted.
func Load() (Config, error) {
	var c Config
	err := Parse(&c)
	return c, err
}

// Parse is [Load] for a struct that embeds [Config] beside variables of its
// own, in the tags of github.com/caarlos0/env. dst must be a pointer to it; it
// is changed only when the error is nil. The values of variables that are not
// Config's are never shown. Fields of the types of this package may have the
// tags min, max and none of Config's own.
func Parse(dst any) error { return ParseFrom(dst, environ()) }

// ParseFrom is [Parse] from given variables, and no others.
func ParseFrom(dst any, variables map[string]string) error { return parse(dst, variables) }

// Variable documents one variable of [Config].
type Variable struct {
	Name string
	Sets string // fields of connectum.Config
	Help string // what it is, what is allowed, the default
}

// Variables lists the variables of [Config] in its order.
func Variables() []Variable {
	return slices.Clone(variables)
}

var variables = func() (out []Variable) {
	for f := range reflect.TypeFor[Config]().Fields() {
		out = append(out, Variable{Name: f.Tag.Get("env"), Sets: f.Tag.Get("sets"), Help: f.Tag.Get("help")})
	}
	return out
}()
