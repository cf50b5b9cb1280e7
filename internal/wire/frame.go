package wire

import "encoding/binary"

// The parts of RFC 9113 that are read here: section 4.1 (frame header), 6 (types
// and flags), 7 (error codes) and 3.4 (preface).
const (
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headerBytes   = 9
	goAwayBytes   = headerBytes + 8
	lastStreamMax = 1<<31 - 1

	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagEndStream  = 0x1  // DATA, HEADERS
	flagAck        = 0x1  // SETTINGS, PING
	flagEndHeaders = 0x4  // HEADERS, PUSH_PROMISE, CONTINUATION
	flagPadded     = 0x8  // DATA, HEADERS
	flagPriority   = 0x20 // HEADERS

	settingMaxStreams    = 0x3
	settingMaxHeaderList = 0x6

	codeNo   = 0x0
	codeCalm = 0xb // ENHANCE_YOUR_CALM
)

// scanner follows the frames of one direction, however their bytes are cut.
type scanner struct {
	head [headerBytes]byte
	have int // bytes of head that have come
	left int // bytes of payload still to come
}

// next takes the rest of the present payload and, behind it, one frame header.
// It returns how many bytes of p these were, and whether head is now complete.
func (s *scanner) next(p []byte) (n int, ok bool) {
	n = min(s.left, len(p))
	s.left -= n
	if s.left > 0 {
		return n, false
	}
	k := copy(s.head[s.have:], p[n:])
	s.have += k
	if s.have < headerBytes {
		return n + k, false
	}
	s.have = 0
	s.left = int(s.head[0])<<16 | int(s.head[1])<<8 | int(s.head[2])
	return n + k, true
}

// between reports whether the next byte begins a frame.
func (s *scanner) between() bool { return s.have == 0 && s.left == 0 }

func (s *scanner) kind() byte         { return s.head[3] }
func (s *scanner) has(flag byte) bool { return s.head[4]&flag != 0 }
func (s *scanner) stream() uint32     { return binary.BigEndian.Uint32(s.head[5:]) & lastStreamMax }

// appendGoAway appends a GOAWAY frame (RFC 9113, section 6.8).
func appendGoAway(p []byte, last, code uint32) []byte {
	p = append(p, 0, 0, goAwayBytes-headerBytes, frameGoAway, 0, 0, 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, last)
	return binary.BigEndian.AppendUint32(p, code)
}

// appendLeave appends the GOAWAY that asks the client to leave, and a PING behind
// it (RFC 9113, section 6.7).
func appendLeave(p []byte) []byte {
	p = appendGoAway(p, lastStreamMax, codeNo)
	return append(p, 0, 0, 8, framePing, 0, 0, 0, 0, 0, 'l', 'e', 'a', 'v', 'i', 'n', 'g', '!')
}

// appendReset appends a RST_STREAM frame (RFC 9113, section 6.4).
func appendReset(p []byte, stream, code uint32) []byte {
	p = append(p, 0, 0, 4, frameReset, 0)
	p = binary.BigEndian.AppendUint32(p, stream)
	return binary.BigEndian.AppendUint32(p, code)
}
