package env

import (
	"cmp"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/connectum-go/connectum"
)

// Server returns the configuration of a server.
func (c Config) Server() connectum.Config {
	var cfg connectum.Config
	c.Apply(&cfg)
	return cfg
}

// Apply sets the fields of cfg that are zero to what the environment says:
// what code has set stays. Some settings are taken whole:
//
//   - TLS_CERT and TLS_KEY together, and not when cfg has a part of a pair, or
//     a TLS.Config with certificates of its own;
//   - TLS_CLIENT_CA not when TLS.Config has client CAs, and TLS_CLIENT_AUTH not
//     when it says what is wanted of clients;
//   - LOG_LEVEL and LOG_FORMAT as a logger to standard error, when one of them
//     is set and cfg.Logger is not. Set cfg.Logger, to [slog.Default] for
//     example, if log lines belong elsewhere.
//
// What code forbids and the environment asks for (client CAs, and
// connectum.ClientAuthNone) is a start error.
func (c Config) Apply(cfg *connectum.Config) {
	cfg.Addr = cmp.Or(cfg.Addr, c.addr())
	cfg.AdminAddr = cmp.Or(cfg.AdminAddr, string(c.AdminListen))
	c.applyTLS(&cfg.TLS)
	if cfg.Logger == nil && (c.LogLevel != "" || c.LogFormat != "") {
		cfg.Logger = c.Logger(os.Stderr)
	}
	cfg.AllowGET = cfg.AllowGET || bool(c.AllowGET)

	s := &cfg.Shutdown
	s.Timeout = cmp.Or(s.Timeout, time.Duration(c.ShutdownTimeout))
	s.DrainDelay = cmp.Or(s.DrainDelay, time.Duration(c.DrainDelay))
	s.StreamGrace = cmp.Or(s.StreamGrace, time.Duration(c.StreamGrace))
	s.NoForce = s.NoForce || bool(c.ShutdownNoForce)

	l := &cfg.Limits
	l.Timeout = cmp.Or(l.Timeout, time.Duration(c.RequestTimeout))
	l.MaxReceiveBytes = cmp.Or(l.MaxReceiveBytes, int(c.MaxReceiveBytes))
	l.MaxJSONBytes = cmp.Or(l.MaxJSONBytes, int(c.MaxJSONBytes))
	l.MaxSendBytes = cmp.Or(l.MaxSendBytes, int(c.MaxSendBytes))
	l.DecodeBudget = cmp.Or(l.DecodeBudget, int64(c.DecodeBudget))
	l.CompressMinBytes = cmp.Or(l.CompressMinBytes, int(c.CompressMinBytes))
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, int(c.MaxHeaderBytes))
	l.MaxConns = cmp.Or(l.MaxConns, int(c.MaxConns))
	l.MaxInFlight = cmp.Or(l.MaxInFlight, int(c.MaxInFlight))
	l.MaxConcurrentStreams = cmp.Or(l.MaxConcurrentStreams, int(c.MaxConcurrentStreams))
	l.StreamBuffer = cmp.Or(l.StreamBuffer, int(c.StreamBuffer))
	l.ConnBuffer = cmp.Or(l.ConnBuffer, int(c.ConnBuffer))
	l.MaxConnectionAge = cmp.Or(l.MaxConnectionAge, time.Duration(c.MaxConnAge))
	l.AgeJitter = cmp.Or(l.AgeJitter, float64(c.ConnAgeJitter))
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, time.Duration(c.HeaderTimeout))
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, time.Duration(c.HandshakeTimeout))
	l.IdleTimeout = cmp.Or(l.IdleTimeout, time.Duration(c.IdleTimeout))
	l.ReadStall = cmp.Or(l.ReadStall, time.Duration(c.ReadStall))
	l.WriteStall = cmp.Or(l.WriteStall, time.Duration(c.WriteStall))
	l.PingInterval = cmp.Or(l.PingInterval, time.Duration(c.PingInterval))
	l.PingTimeout = cmp.Or(l.PingTimeout, time.Duration(c.PingTimeout))
}

// applyTLS never joins a certificate of code with a key of the environment.
func (c Config) applyTLS(t *connectum.TLS) {
	theirs := t.Config
	if theirs == nil {
		theirs = new(tls.Config)
	}
	if t.CertFile == "" && t.KeyFile == "" && len(t.CertPEM) == 0 && len(t.KeyPEM) == 0 &&
		len(theirs.Certificates) == 0 && theirs.GetCertificate == nil && theirs.GetConfigForClient == nil {
		t.CertFile, t.CertPEM = c.TLSCert.File(), c.TLSCert.Inline()
		t.KeyFile, t.KeyPEM = c.TLSKey.File(), c.TLSKey.Inline()
	}
	if t.ClientCAFile == "" && len(t.ClientCAPEM) == 0 && theirs.ClientCAs == nil {
		t.ClientCAFile, t.ClientCAPEM = c.TLSClientCA.File(), c.TLSClientCA.Inline()
	}
	if theirs.ClientAuth == tls.NoClientCert {
		t.ClientAuth = cmp.Or(t.ClientAuth, connectum.ClientAuth(c.TLSClientAuth))
	}
	t.ReloadInterval = cmp.Or(t.ReloadInterval, time.Duration(c.TLSReloadInterval))
}

// Logger returns a logger that writes to w in the form and from the level that
// the environment asks for.
func (c Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
