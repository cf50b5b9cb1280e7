package connectum

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"
)

// logStart tells operators in one line what is in force. Durations are text, which
// is the same in JSON, and "none" without a bound; of counts that is -1.
func (s *Server) logStart(addr net.Addr, admin net.Listener) {
	l := &s.limits
	attrs := []slog.Attr{slog.String("addr", addr.String()), slog.Bool("tls", s.tls != nil)}
	if s.tls != nil {
		attrs = append(attrs, slog.String("client_certificates", clientCertificates(s.tls.used.Load().ClientAuth)))
	}
	attrs = append(attrs, slog.String("protocols", "connect, grpc, grpcweb; HTTP/1.1, HTTP/2"), slog.Int("procedures", len(s.ordered)))
	if len(s.engines) > 0 {
		attrs = append(attrs, slog.String("engines", s.engineNames()))
	}
	if admin != nil {
		attrs = append(attrs, slog.String("admin", admin.Addr().String()))
	}
	attrs = append(attrs, slog.Group("limits",
		boundOf("max_receive_bytes", l.MaxReceiveBytes), boundOf("max_json_bytes", l.MaxJSONBytes),
		boundOf("max_send_bytes", l.MaxSendBytes), boundOf("decode_budget", l.DecodeBudget),
		slog.Int("compress_min_bytes", max(l.CompressMinBytes, 0)),
		boundOf("max_header_bytes", l.MaxHeaderBytes), timeOf("header_timeout", l.HeaderTimeout),
		timeOf("handshake_timeout", l.HandshakeTimeout), timeOf("idle_timeout", l.IdleTimeout),
		timeOf("read_stall", l.ReadStall), timeOf("write_stall", l.WriteStall),
		timeOf("ping_interval", l.PingInterval), timeOf("ping_timeout", l.PingTimeout),
		boundOf("max_concurrent_streams", l.MaxConcurrentStreams),
		boundOf("stream_buffer", l.StreamBuffer), boundOf("conn_buffer", l.ConnBuffer), boundOf("max_conns", l.MaxConns),
		boundOf("max_in_flight", l.MaxInFlight), timeOf("timeout", l.Timeout),
		timeOf("max_connection_age", l.MaxConnectionAge), slog.Float64("age_jitter", l.AgeJitter),
		slog.Any("per_procedure", l.overrides())),
		slog.Group("shutdown", timeOf("timeout", s.shutdown.Timeout), slog.String("drain_delay", s.shutdown.DrainDelay.String()),
			timeOf("stream_grace", s.shutdown.StreamGrace), slog.Bool("no_force", s.shutdown.NoForce)))
	s.log().LogAttrs(context.Background(), slog.LevelInfo, "server started", attrs...)
	if s.tls == nil && !isLoopback(addr) {
		s.log().Warn("serving plaintext beyond this host: put TLS in front of it, or set Config.TLS", "addr", addr.String())
	}
}

// overrides tells what PerProcedure changes, a line for each pattern.
func (l *Limits) overrides() []string {
	lines := []string{}
	for _, pattern := range slices.Sorted(maps.Keys(l.PerProcedure)) {
		o := l.PerProcedure[pattern]
		line := pattern + ":"
		tell := func(set bool, a slog.Attr) {
			if set {
				line += " " + a.String()
			}
		}
		tell(o.MaxReceiveBytes != 0, boundOf("max_receive_bytes", o.MaxReceiveBytes))
		tell(o.MaxJSONBytes != 0, boundOf("max_json_bytes", o.MaxJSONBytes))
		tell(o.MaxSendBytes != 0, boundOf("max_send_bytes", o.MaxSendBytes))
		tell(o.ReadStall != 0, timeOf("read_stall", o.ReadStall))
		tell(o.WriteStall != 0, timeOf("write_stall", o.WriteStall))
		tell(o.Timeout != 0, timeOf("timeout", o.Timeout))
		lines = append(lines, line)
	}
	return lines
}

// boundOf is a count that may be without a bound.
func boundOf[T int | int64](name string, n T) slog.Attr { return slog.Int64(name, max(int64(n), -1)) }

// timeOf is a duration that may be without a bound.
func timeOf(name string, d time.Duration) slog.Attr {
	if d <= 0 {
		return slog.String(name, "none")
	}
	return slog.String(name, d.String())
}

func clientCertificates(auth tls.ClientAuthType) string {
	switch auth {
	case tls.NoClientCert:
		return "none"
	case tls.VerifyClientCertIfGiven:
		return "request"
	case tls.RequireAndVerifyClientCert:
		return "require"
	default: // of a TLS.Config of the user's own
		return auth.String()
	}
}
