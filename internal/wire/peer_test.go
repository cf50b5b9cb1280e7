package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// The frame types and flags a peer sends or looks for (RFC 9113, section 6).
const (
	tData, tHeaders, tPriority, tReset, tSettings = 0, 1, 2, 3, 4
	tPing, tGoAway, tWindow, tContinuation        = 6, 7, 8, 9

	endStream, endHeaders, ack = 1, 4, 1

	noError, calm = 0, 11
	maxStream     = 1<<31 - 1
)

// frame is one HTTP/2 frame.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f frame) append(p []byte) []byte {
	n := len(f.payload)
	p = append(p, byte(n>>16), byte(n>>8), byte(n), f.kind, f.flags)
	p = binary.BigEndian.AppendUint32(p, f.stream)
	return append(p, f.payload...)
}

// goAway returns the last stream and the code of a GOAWAY frame.
func (f frame) goAway() (last, code uint32) {
	return binary.BigEndian.Uint32(f.payload), binary.BigEndian.Uint32(f.payload[4:])
}

// peer is an HTTP/2 client without manners.
type peer struct {
	net.Conn
	t testing.TB
}

// peer connects, and exchanges settings with very large windows.
func (s *server) peer(t testing.TB) *peer {
	t.Helper()
	p := &peer{s.dial(t), t}
	p.SetDeadline(time.Now().Add(20 * time.Second))
	p.begin()
	return p
}

func (p *peer) begin() {
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = frame{kind: tSettings, payload: []byte{0, 4, 0x7f, 0xff, 0xff, 0xff}}.append(out)
	out = frame{kind: tWindow, payload: []byte{0x7f, 0, 0, 0}}.append(out)
	p.Write(out)
	for range 2 { // theirs and their acknowledgement, in some order
		p.until(tSettings)
	}
	p.send(frame{kind: tSettings, flags: ack})
}

func (p *peer) send(frames ...frame) error {
	var out []byte
	for _, f := range frames {
		out = f.append(out)
	}
	_, err := p.Write(out)
	return err
}

// get is the request "GET path" on a stream.
func get(stream uint32, path string) frame {
	block := append([]byte{0x82, 0x86, 0x44, byte(len(path))}, path...)
	block = append(block, 0x41, 4, 'w', 'i', 'r', 'e')
	return frame{kind: tHeaders, flags: endStream | endHeaders, stream: stream, payload: block}
}

func (p *peer) next() (f frame, err error) {
	var head [9]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		return f, err
	}
	f = frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:])}
	f.payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(p, f.payload)
	return f, err
}

// until returns the next frame of a kind.
func (p *peer) until(kind byte) frame {
	p.t.Helper()
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("no frame of type %d: %v", kind, err)
		}
		if f.kind == kind {
			return f
		}
	}
}

// answered reads until a stream has ended, and returns its body.
func (p *peer) answered(stream uint32) []byte {
	p.t.Helper()
	var body bytes.Buffer
	for {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("stream %d was not answered: %v", stream, err)
		}
		if f.stream != stream {
			continue
		}
		if f.kind == tData {
			body.Write(f.payload)
		}
		if f.kind <= tHeaders && f.flags&endStream != 0 {
			return body.Bytes()
		}
	}
}

// rest returns the frames up to the end of the connection.
func (p *peer) rest() (frames []frame) {
	for {
		f, err := p.next()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				p.t.Errorf("the connection did not end: %v", err)
			}
			return frames
		}
		frames = append(frames, f)
	}
}
