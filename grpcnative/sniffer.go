package grpcnative

import (
	"encoding/base64"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/connectum-go/connectum"
)

// sniffer reads the header blocks of a connection's requests, one after the
// other, and tells which of them grpc-go serves as net/http's door would.
type sniffer struct {
	dec  *hpack.Decoder
	conn interface {
		Known(codec, encoding string) bool
	}
	req request
}

// known tells what the server of a connection has.
type known struct{ *connectum.EngineConn }

// Known reports whether the server has a codec and a compressor.
func (k known) Known(codec, encoding string) bool {
	return k.Codec(codec) != nil && (encoding == "" || encoding == "identity" || k.Compressor(encoding) != nil && encoding == "gzip")
}

// request is what a header block says.
type request struct {
	method, path, contentType, encoding, timeout string

	hosts, authorities int
	malformed          bool
}

const tableSize = 4096 // SETTINGS_HEADER_TABLE_SIZE, which neither side changes

func newSniffer(c *connectum.EngineConn) *sniffer { return sniff(known{c}) }

func sniff(k interface {
	Known(codec, encoding string) bool
}) *sniffer {
	s := &sniffer{conn: k}
	s.dec = hpack.NewDecoder(tableSize, s.field)
	return s
}

// judge takes the next header block of the connection.
func (s *sniffer) judge(block []byte) bool {
	ok, err := s.take(block)
	return ok && err == nil
}

// take is judge, and tells a block that is no HPACK, after which no other can
// be read.
func (s *sniffer) take(block []byte) (bool, error) {
	s.req = request{}
	if _, err := s.dec.Write(block); err != nil {
		return false, err
	}
	if err := s.dec.Close(); err != nil {
		return false, err
	}
	return s.native(), nil
}

func (s *sniffer) field(f hpack.HeaderField) {
	r := &s.req
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
		r.timeout = f.Value
		r.malformed = r.malformed || !validTimeout(f.Value)
	case "connection", "transfer-encoding", "upgrade", "proxy-connection", "keep-alive":
		r.malformed = true
	default:
		if strings.HasSuffix(f.Name, "-bin") && !validBinary(f.Value) {
			r.malformed = true
		}
	}
}

// native reports whether grpc-go answers the request as net/http's door would:
// a call that is sound, in a codec and an encoding that the server has. Whatever
// it would refuse by itself is left to the other.
func (s *sniffer) native() bool {
	r := &s.req
	if r.malformed || r.method != "POST" || r.authorities > 1 || r.hosts > 1 || r.authorities+r.hosts == 0 {
		return false
	}
	if len(r.path) < 2 || r.path[0] != '/' || strings.LastIndexByte(r.path, '/') == 0 || strings.ContainsAny(r.path, "?#") {
		return false
	}
	codec, ok := codecOf(r.contentType)
	return ok && s.conn.Known(codec, r.encoding)
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
	return strings.Trim(digits, "0123456789") == "" && strings.IndexByte("HMSmun", t[len(t)-1]) >= 0 && strings.Trim(digits, "0") != ""
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
