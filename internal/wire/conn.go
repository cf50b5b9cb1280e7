package wire

import (
	"context"
	"crypto/tls"
	"net"
)

// Conn is one connection of a [Listener].
type Conn struct {
	net.Conn
}

// FromContext returns the connection a request came by, or nil.
func FromContext(ctx context.Context) *Conn { return nil }

// TLS returns the state of the TLS connection, or nil on a plaintext one.
func (c *Conn) TLS() *tls.ConnectionState { return nil }

// Leaving reports whether the connection has been asked to leave: answers over HTTP/1.1 must say Connection: close.
func (c *Conn) Leaving() bool { return false }

// Overstayed reports whether an HTTP/2 peer still opens streams long after it was asked to leave.
func (c *Conn) Overstayed() bool { return false }
