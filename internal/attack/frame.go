package attack

import (
	"encoding/binary"
	"io"
)

// The kinds, flags and error codes of frames (RFC 9113 sections 6 and 7) that
// tests send or look for.
const (
	Data         = 0
	Headers      = 1
	Reset        = 3
	Settings     = 4
	Ping         = 6
	GoAway       = 7
	Window       = 8
	Continuation = 9

	EndStream  = 1
	EndHeaders = 4
	Ack        = 1

	ProtocolError = 1
	FlowControl   = 3
	RefusedStream = 7
	Cancel        = 8
	Compression   = 9
	Calm          = 11
)

// Frame is one frame of HTTP/2.
type Frame struct {
	Kind, Flags byte
	Stream      uint32
	Payload     []byte
}

// Append adds the frame to p as it is sent, its length as it is.
func (f Frame) Append(p []byte) []byte {
	n := len(f.Payload)
	p = append(p, byte(n>>16), byte(n>>8), byte(n), f.Kind, f.Flags)
	p = binary.BigEndian.AppendUint32(p, f.Stream)
	return append(p, f.Payload...)
}

// Code returns the error code of a RST_STREAM or GOAWAY frame.
func (f Frame) Code() uint32 {
	p := f.Payload
	if f.Kind == GoAway && len(p) >= 8 {
		p = p[4:]
	}
	if len(p) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(p)
}

// Setting returns one value of a SETTINGS frame.
func (f Frame) Setting(id uint16) (uint32, bool) {
	for p := f.Payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == id {
			return binary.BigEndian.Uint32(p[2:]), true
		}
	}
	return 0, false
}

func readFrame(r io.Reader) (Frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: head[3], Flags: head[4], Stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31)}
	f.Payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err := io.ReadFull(r, f.Payload)
	return f, err
}

// Fields is a header block of literals, without a table and without Huffman's
// code (RFC 7541 section 6.2.2), from names and values in turn.
func Fields(pairs ...string) []byte {
	var block []byte
	for i, text := range pairs {
		if i%2 == 0 {
			block = append(block, 0)
		}
		block = appendLength(block, len(text))
		block = append(block, text...)
	}
	return block
}

// appendLength writes an integer with a prefix of seven bits (RFC 7541 section
// 5.1).
func appendLength(p []byte, n int) []byte {
	if n < 127 {
		return append(p, byte(n))
	}
	p = append(p, 127)
	for n -= 127; n >= 128; n >>= 7 {
		p = append(p, byte(n)|128)
	}
	return append(p, byte(n))
}

// Envelope is one message of a stream: a flag, its length, and the message.
func Envelope(flag byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}
