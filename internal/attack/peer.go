// Package attack has clients without manners, for tests of what a server bounds.
// They write what they like on a connection and read what comes back frame by
// frame; nothing is answered for them.
package attack

import (
	"bufio"
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// Peer is one side of an HTTP/2 connection.
type Peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// HTTP2 begins HTTP/2 on c, with that window for each stream, and as large a one
// as there is for the connection. c is closed when the test ends.
func HTTP2(t testing.TB, c net.Conn, window uint32) *Peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	p := &Peer{Conn: c, t: t, r: bufio.NewReader(c)}
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = Frame{Kind: Settings, Payload: binary.BigEndian.AppendUint32([]byte{0, 4}, window)}.Append(out)
	out = Frame{Kind: Window, Payload: []byte{0x7f, 0, 0, 0}}.Append(out)
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	return p
}

// Send writes frames. The error is the connection's, which may have been closed
// on purpose.
func (p *Peer) Send(frames ...Frame) error {
	var out []byte
	for _, f := range frames {
		out = f.Append(out)
	}
	_, err := p.Write(out)
	return err
}

// Acknowledge answers the server's settings, as it demands in ten seconds.
func (p *Peer) Acknowledge() {
	p.t.Helper()
	if err := p.Send(Frame{Kind: Settings, Flags: Ack}); err != nil {
		p.t.Fatal(err)
	}
}

// Next returns the next frame.
func (p *Peer) Next() (Frame, error) { return readFrame(p.r) }

// Until skips frames until one of a kind.
func (p *Peer) Until(kind byte) (Frame, error) {
	for {
		f, err := p.Next()
		if err != nil || f.Kind == kind {
			return f, err
		}
	}
}

// Leave answers PINGs and skips all else until the server asks to leave, by a
// GOAWAY, or the connection ends, and returns how long that took since began.
func (p *Peer) Leave(began time.Time) time.Duration {
	for {
		f, err := p.Next()
		if err != nil || f.Kind == GoAway {
			return time.Since(began)
		}
		if f.Kind == Ping && f.Flags == 0 {
			_ = p.Send(Frame{Kind: Ping, Flags: Ack, Payload: f.Payload})
		}
	}
}

// Post is the head of a request on a stream, with more fields, whose body
// follows.
func Post(stream uint32, path, contentType string, more ...string) Frame {
	fields := append([]string{":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", path,
		"content-type", contentType, "te", "trailers"}, more...)
	return Frame{Kind: Headers, Flags: EndHeaders, Stream: stream, Payload: Fields(fields...)}
}
