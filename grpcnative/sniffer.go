package grpcnative

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/connectum-go/connectum"
)

// sniffer reads the header blocks of a connection's requests, one after the
// other, and tells which of them grpc-go serves as net/http's door would.
type sniffer struct {
	dec  *hpack.Decoder
	has  inventory
	most int // Limits.MaxHeaderBytes, as HTTP/2 counts them
	req  request

	fields []hpack.HeaderField // of the block judged last

	last   []byte // that block, if it says the same when it comes again
	lastIs verdict
}

// inventory is what a server has.
type inventory interface {
	// HasCodec, HasCompressor and HasProcedure report whether the server has one
	// of that name.
	HasCodec(name string) bool
	HasCompressor(name string) bool
	HasProcedure(name string) bool
}

// of is the inventory of the server of a connection.
type of struct {
	*connectum.EngineConn
	engine *engine
}

func (o of) HasCodec(name string) bool      { return o.Codec(name) != nil }
func (o of) HasCompressor(name string) bool { return o.Compressor(name) != nil }
func (o of) HasProcedure(name string) bool  { return o.engine.hasProcedure(name) }

// verdict is who serves a request.
type verdict int

const (
	foreign  verdict = iota // net/http alone
	native                  // grpc-go as well, with the same outcome
	hopeless                // nobody, which can be said here as well
	huge                    // nobody: it is larger than allowed, and was not read to its end
)

// request is what a header block says.
type request struct {
	method, path, contentType, encoding, timeout string

	hosts, authorities int
	malformed          bool
	size               uint32 // RFC 9113, section 6.5.2
}

const tableSize = 4096 // SETTINGS_HEADER_TABLE_SIZE, which neither side changes

func newSniffer(has inventory, most int) *sniffer {
	s := &sniffer{has: has, most: most}
	s.dec = hpack.NewDecoder(tableSize, s.field)
	return s
}

// judge takes the next header block of the connection. After an error no other
// can be read.
func (s *sniffer) judge(block []byte) (verdict, error) {
	if len(block) > 0 && bytes.Equal(block, s.last) {
		return s.lastIs, nil
	}
	s.req, s.fields, s.last = request{}, s.fields[:0], s.last[:0]
	s.dec.SetEmitEnabled(true)
	if _, err := s.dec.Write(block); err != nil {
		return foreign, err
	}
	if err := s.dec.Close(); err != nil {
		return foreign, err
	}
	v := s.verdict()
	if v != huge && indexed(block) {
		s.last, s.lastIs = append(s.last, block...), v
	}
	return v, nil
}

// indexed reports whether a block, which is short then, does nothing but name fields
// by their places (RFC 7541, section 6.1): it leaves the table as it is. Clients whose
// calls are alike send little else.
func indexed(block []byte) bool {
	for _, b := range block {
		if b < 0x80 {
			return false
		}
	}
	return len(block) <= 64
}

func (s *sniffer) field(f hpack.HeaderField) {
	r := &s.req
	if r.size += f.Size(); int64(r.size) > int64(s.most) {
		s.dec.SetEmitEnabled(false) // a byte may stand for all that the table holds
		return
	}
	s.fields = append(s.fields, f)
	switch f.Name {
	case ":method":
		r.method = f.Value
	case ":path":
		r.path = f.Value
	case ":authority":
		r.authorities++
	case "host":
		r.hosts++
	case "content-type":
		if r.contentType != "" {
			r.malformed = true
		}
		r.contentType = f.Value
	case "grpc-encoding":
		r.encoding = f.Value
	case "grpc-timeout":
		r.malformed = r.malformed || r.timeout != "" || !validTimeout(f.Value)
		r.timeout = f.Value
	case "te":
		r.malformed = r.malformed || f.Value != "trailers"
	case "connection", "transfer-encoding", "upgrade", "proxy-connection", "keep-alive", "expect":
		r.malformed = true
	default:
		if strings.HasSuffix(f.Name, "-bin") && !validBinary(f.Value) {
			r.malformed = true
		}
	}
}

// verdict says who serves the request. grpc-go gets what it answers as net/http's
// door would: a call that is sound, in a codec and an encoding that the server
// has. What it would refuse by itself is left to the other.
func (s *sniffer) verdict() verdict {
	r := &s.req
	if int64(r.size) > int64(s.most) {
		return huge
	}
	if r.method != "" && r.method != "POST" && r.method != "CONNECT" && strings.HasPrefix(r.contentType, "application/grpc") && s.has.HasProcedure(r.path) {
		return hopeless
	}
	if r.malformed || r.method != "POST" || r.authorities > 1 || r.hosts > 1 || r.authorities+r.hosts == 0 {
		return foreign
	}
	if len(r.path) < 2 || r.path[0] != '/' || strings.LastIndexByte(r.path, '/') == 0 || strings.ContainsAny(r.path, "?#%") {
		return foreign
	}
	codec, ok := codecOf(r.contentType)
	if !ok {
		if s.has.HasProcedure(r.path) && !s.servable(r.contentType) {
			return hopeless
		}
		return foreign
	}
	switch {
	case !s.has.HasCodec(codec) && codec != strings.ToLower(codec):
		return foreign // which does not mind
	case !s.has.HasCodec(codec):
		return hopeless
	case r.encoding == "" || r.encoding == "identity":
		return native
	case !s.has.HasCompressor(r.encoding):
		return hopeless // unimplemented
	case r.encoding != "gzip":
		return foreign // grpc-go knows no other
	}
	return native
}

// headers returns frames that say what the block judged last does, without a
// use of the table (RFC 7541, section 6.2.2).
func (s *sniffer) headers(id uint32, flags byte) []byte {
	var block []byte
	for _, f := range s.fields {
		block = append(block, 0)
		block = appendString(block, f.Name)
		block = appendString(block, f.Value)
	}
	var out []byte
	for kind := byte(frameHeaders); ; kind, flags = frameContinuation, 0 {
		n := min(len(block), frameMost)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
		out = binary.BigEndian.AppendUint32(out, id)
		out = append(out, block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return out
		}
	}
}

// appendString appends a string that is not compressed (RFC 7541, section 5.2).
func appendString(p []byte, text string) []byte {
	n := len(text)
	if n < 127 {
		return append(append(p, byte(n)), text...)
	}
	p = append(p, 127)
	for n -= 127; n >= 128; n >>= 7 {
		p = append(p, byte(n)|128)
	}
	return append(append(p, byte(n)), text...)
}

// servable reports whether a protocol of net/http's door may have this content
// type.
func (s *sniffer) servable(contentType string) bool {
	base, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	base = strings.TrimSpace(base)
	if strings.HasPrefix(base, "application/grpc") || strings.HasPrefix(base, "application/connect+") {
		return true
	}
	codec, ok := strings.CutPrefix(base, "application/")
	return ok && s.has.HasCodec(codec)
}

// codecOf returns the codec that a content type of gRPC names.
func codecOf(contentType string) (string, bool) {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	if !ok {
		return "", false
	}
	if rest == "" {
		return "proto", true
	}
	name, ok := strings.CutPrefix(rest, "+")
	return name, ok && name != ""
}

// validTimeout reports whether t is what gRPC calls a timeout: at most eight
// digits and a unit. Some that others take too are left to net/http.
func validTimeout(t string) bool {
	if len(t) < 2 || len(t) > 9 {
		return false
	}
	digits := t[:len(t)-1]
	return strings.Trim(digits, "0123456789") == "" && strings.IndexByte("HMSmun", t[len(t)-1]) >= 0
}

// validBinary reports whether v is base64, of one value.
func validBinary(v string) bool {
	enc := base64.RawStdEncoding
	if len(v)%4 == 0 {
		enc = base64.StdEncoding
	}
	_, err := enc.DecodeString(v)
	return err == nil
}
