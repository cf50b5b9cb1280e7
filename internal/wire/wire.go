// Package wire stands between the socket and net/http: it terminates TLS,
// batches the reads and writes of HTTP/2, ends frame floods, sends the first of
// the two GOAWAY frames of a graceful shutdown, and keeps the register of open
// connections. Each part can be switched off alone.
//
// net/http serves a [Listener] as if it were a plaintext one, with HTTP/1.1 and
// unencrypted HTTP/2 enabled, since TLS ends below it:
//
//	l := wire.Listen(tcp, wire.Config{TLS: config, Batch: true, GoAway: true})
//	srv := &http.Server{ConnState: l.ConnState, ConnContext: l.ConnContext}
//	srv.Protocols = new(http.Protocols)
//	srv.Protocols.SetHTTP1(true)
//	srv.Protocols.SetUnencryptedHTTP2(true)
//	srv.Serve(l)
//
//	 socket ─► TLS ─► read buffer ─► frame meter ─► net/http
//	 socket ◄─ TLS ◄─ write queue ◄─ GOAWAY      ◄─ net/http
package wire

import (
	"crypto/tls"
	"net"
	"time"
)

// Config configures a [Listener]. The zero value passes connections through
// unchanged and only keeps the register.
type Config struct {
	// TLS, if not nil, makes every connection a TLS one. It is used as given:
	// a GetConfigForClient that serves reloaded certificates must return
	// configurations that list h2 and http/1.1 in NextProtos by themselves.
	TLS *tls.Config

	// HandshakeTimeout bounds the TLS handshake. It is apart from the deadlines
	// of net/http, which begin when the handshake has ended. Zero means none.
	HandshakeTimeout time.Duration

	// MaxConns is the number of connections open at a time. When it is reached,
	// a new connection takes the place of the one that has been idle longest;
	// if none is idle the new one is closed. Zero means no limit.
	MaxConns int

	// MaxAge is how long a connection may live before it is asked to leave, as
	// by [Listener.Drain]. Zero means for ever.
	MaxAge time.Duration

	// AgeJitter spreads MaxAge by this fraction to both sides, so that clients
	// that came together do not leave together: 0.1 means 90 % to 110 %.
	AgeJitter float64

	// Meter limits the HTTP/2 frames that cost the server more than the client.
	// The zero value is off. See [DefaultMeter].
	Meter Meter

	// Batch reads and writes HTTP/2 connections in batches.
	Batch bool

	// GoAway tells HTTP/2 connections that have to leave so, by a GOAWAY frame
	// that still lets every stream in. See RFC 9113, section 6.8.
	GoAway bool

	// Report, if not nil, is told what the package does to peers that
	// misbehave. It is called from the connection's goroutine or from Accept
	// and must not block.
	Report func(Event)
}

// Event is something a peer did that ended its connection.
type Event struct {
	Kind EventKind
	Peer net.Addr
	Err  error
}

// EventKind says what happened.
type EventKind int

const (
	// HandshakeFailed is a TLS handshake that failed or took too long.
	HandshakeFailed EventKind = iota + 1
	// Flood is a connection that sent more frames than its meter allows.
	Flood
	// Full is a connection closed at once, because MaxConns were open and busy.
	Full
)

// String returns what happened in words.
func (k EventKind) String() string {
	switch k {
	case HandshakeFailed:
		return "TLS handshake failed"
	case Flood:
		return "HTTP/2 frame flood"
	case Full:
		return "too many connections"
	}
	return "unknown event"
}

// Stats are the figures of a [Listener] at one moment.
type Stats struct {
	Open, New, Active, Idle int   // connections, by the state net/http last told
	HTTP2                   int   // those of Open that speak HTTP/2
	Accepted                int64 // since the start, the refused ones not counted
	Refused                 int64 // closed at once because MaxConns were open and busy
	Evicted                 int64 // idle ones closed to make room
	Floods                  int64
	HandshakeErrors         int64
}
