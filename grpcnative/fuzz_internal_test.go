package grpcnative

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// shelf is an inventory.
type shelf struct{}

func (shelf) HasCodec(name string) bool      { return name == "proto" || name == "json" }
func (shelf) HasCompressor(name string) bool { return name == "gzip" }
func (shelf) HasProcedure(name string) bool  { return name == "/a.B/C" }

// block encodes fields, by the table of enc.
func block(pairs ...string) []byte {
	var out bytes.Buffer
	enc := hpack.NewEncoder(&out)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return out.Bytes()
}

func call(contentType string, more ...string) []byte {
	return block(append([]string{":method", "POST", ":scheme", "http", ":path", "/a.B/C", ":authority", "h", "content-type", contentType}, more...)...)
}

func TestTheSnifferTellsWhoServesARequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		block []byte
		want  verdict
	}{
		{"grpc", call("application/grpc"), native},
		{"proto", call("application/grpc+proto"), native},
		{"json", call("application/grpc+json"), native},
		{"gzip", call("application/grpc", "grpc-encoding", "gzip"), native},
		{"identity", call("application/grpc", "grpc-encoding", "identity"), native},
		{"timeout", call("application/grpc", "grpc-timeout", "99999999n"), native},
		{"binary", call("application/grpc", "x-bin", "AAE"), native},
		{"padded binary", call("application/grpc", "x-bin", "AAE="), native},
		{"grpc-web", call("application/grpc-web+proto"), foreign},
		{"grpc-web text", call("application/grpc-web-text"), foreign},
		{"parameter", call("application/grpc; charset=utf-8"), foreign},
		{"connect", call("application/proto"), foreign},
		{"connect stream", call("application/connect+proto"), foreign},
		{"JSON", call("application/json; charset=utf-8"), foreign},
		{"bad timeout", call("application/grpc", "grpc-timeout", "1"), foreign},
		{"long timeout", call("application/grpc", "grpc-timeout", "123456789S"), foreign},
		{"no time", call("application/grpc", "grpc-timeout", "0S"), native},
		{"two timeouts", call("application/grpc", "grpc-timeout", "1S", "grpc-timeout", "2S"), foreign},
		{"te", call("application/grpc", "te", "trailers"), native},
		{"another te", call("application/grpc", "te", "gzip"), foreign},
		{"expectation", call("application/grpc", "expect", "100-continue"), foreign},
		{"uppercase codec", call("application/grpc+PROTO"), foreign},
		{"escaped path", block(":method", "POST", ":path", "/a.B/%43", ":authority", "h", "content-type", "application/grpc"), foreign},
		{"no verb", block(":path", "/a.B/C", ":authority", "h", "content-type", "application/grpc"), foreign},
		{"bad binary", call("application/grpc", "x-bin", "!"), foreign},
		{"two binaries in one", call("application/grpc", "x-bin", "AAE,AAE"), foreign},
		{"connection", call("application/grpc", "connection", "close"), foreign},
		{"two types", call("application/grpc", "content-type", "application/json"), foreign},
		{"no host", block(":method", "POST", ":path", "/a.B/C", "content-type", "application/grpc"), foreign},
		{"query", block(":method", "POST", ":path", "/a.B/C?x", ":authority", "h", "content-type", "application/grpc"), foreign},
		{"no method", block(":method", "POST", ":path", "/a", ":authority", "h", "content-type", "application/grpc"), foreign},
		{"page", block(":method", "GET", ":path", "/", ":authority", "h"), foreign},
		{"upload", block(":method", "POST", ":path", "/up", ":authority", "h", "content-type", "image/jpeg"), foreign},
		{"picture", call("image/jpeg"), hopeless},
		{"codec", call("application/grpc+thrift"), hopeless},
		{"encoding", call("application/grpc", "grpc-encoding", "br"), hopeless},
		{"verb", block(":method", "PUT", ":path", "/a.B/C", ":authority", "h", "content-type", "application/grpc"), hopeless},
	} {
		got, err := newSniffer(shelf{}, 32<<10).judge(test.block)
		if err != nil || got != test.want {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
	}
	if _, err := newSniffer(shelf{}, 32<<10).judge([]byte{0xff, 0xff, 0xff}); err == nil {
		t.Error("what is no HPACK is no error")
	}
}

// A block that names fields by their places is read once, as long as the table has
// not changed: then the same bytes are another request.
func TestTheSnifferReadsABlockAnewWhenTheTableHasChanged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	enc := hpack.NewEncoder(&out)
	write := func(pairs ...string) []byte {
		out.Reset()
		for i := 0; i < len(pairs); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
		return bytes.Clone(out.Bytes())
	}
	fields := []string{":method", "POST", ":scheme", "http", ":authority", "h", ":path", "/a.B/C", "content-type", "application/grpc"}
	first, again := write(fields...), write(fields...)
	if !indexed(again) || indexed(first) {
		t.Fatalf("%x and %x", first, again)
	}
	other := write("content-type", "application/json") // takes the place of the last
	s := newSniffer(shelf{}, 32<<10)
	for i, test := range []struct {
		block []byte
		want  verdict
	}{{first, native}, {again, native}, {again, native}, {other, foreign}, {again, foreign}, {again, foreign}} {
		got, err := s.judge(test.block)
		if err != nil || got != test.want {
			t.Errorf("block %d: %v, %v; want %v", i, got, err, test.want)
		}
	}
}

// Whatever a stranger sends first: the sniffer does not break, agrees with
// itself, and what it says is native is what grpc-go takes for gRPC. What it
// encodes anew says the same.
func FuzzSniffer(f *testing.F) {
	for _, seed := range [][]byte{
		call("application/grpc"), call("application/grpc+proto", "grpc-timeout", "1S", "x-bin", "AAE"), call("application/json"),
		call("application/grpc-web"), block(":method", "GET", ":path", "/"), {0x82}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0x40, 0x01}, {},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		s := newSniffer(shelf{}, 32<<10)
		first, err := s.judge(p)
		again, err2 := newSniffer(shelf{}, 32<<10).judge(p)
		if third, err3 := s.judge(p); err == nil && indexed(p) && (third != first || err3 != nil) {
			t.Fatalf("%v, then %v, %v", first, third, err3)
		}
		if first != again || (err == nil) != (err2 == nil) {
			t.Fatalf("%v, %v and %v, %v", first, err, again, err2)
		}
		if err != nil {
			if first != foreign {
				t.Fatalf("%v with %v", first, err)
			}
			return
		}
		if first == native && (s.req.method != "POST" || s.req.malformed) {
			t.Fatalf("native: %+v", s.req)
		}
		var body []byte
		frames := s.headers(1, flagEndStream)
		for len(frames) > 0 {
			n := int(frames[0])<<16 | int(frames[1])<<8 | int(frames[2])
			body = append(body, frames[frameHeader:frameHeader+n]...)
			frames = frames[frameHeader+n:]
		}
		got, err := hpack.NewDecoder(tableSize, nil).DecodeFull(body)
		if err != nil || len(got) != len(s.fields) {
			t.Fatalf("anew: %v, %d fields of %d", err, len(got), len(s.fields))
		}
		for i, h := range got {
			if h.Name != s.fields[i].Name || h.Value != s.fields[i].Value {
				t.Fatalf("field %d: %v, want %v", i, h, s.fields[i])
			}
		}
	})
}

// tape is a connection that says what it was given, in pieces.
type tape struct {
	rest   []byte
	piece  int
	resets map[uint32]bool
}

func (l *tape) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), l.piece)], l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
func (*tape) SetReadDeadline(time.Time) error { return nil }
func (*tape) RemoteAddr() net.Addr            { return nil }
func (*tape) Ask()                            {}
func (l *tape) Reset(stream, code uint32)     { l.resets[stream] = true }
func (*tape) Close() error                    { return nil }
func preface(frames ...[]byte) []byte {
	return append([]byte(http2.ClientPreface), bytes.Join(frames, nil)...)
}
func frame(kind, flags byte, id uint32, p []byte) []byte {
	out := []byte{byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p)), kind, flags}
	return append(binary.BigEndian.AppendUint32(out, id), p...)
}

func newTaped(said []byte, piece int) (*conn, *tape) {
	l := &tape{rest: said, piece: piece, resets: map[uint32]bool{}}
	e := new(engine)
	return &conn{link: l, engine: e, streams: 100, sniff: newSniffer(shelf{}, 32<<10), closed: make(chan struct{}), taken: make(chan struct{}),
		listener: single{shut: make(chan struct{})},
		requests: map[uint32]*stream{}, alone: func() {}}, l
}

// Whatever a client sends, and however it is cut: what grpc-go reads does not
// depend on the cuts, and of requests only those that are for it reach it.
func FuzzConn(f *testing.F) {
	settings := frame(4, 0, 0, nil)
	grpc, web := call("application/grpc"), call("application/grpc-web")
	for _, seed := range [][]byte{
		preface(settings, frame(1, 4, 1, grpc), frame(0, 1, 1, []byte("data"))),
		preface(settings, frame(1, 5, 1, grpc), frame(1, 4, 3, web), frame(0, 1, 3, []byte("x")), frame(1, 5, 5, grpc)),
		preface(settings, frame(1, 0, 1, grpc[:4]), frame(9, 4, 1, grpc[4:]), frame(1, 5, 1, block("x", "trailer"))),
		preface(settings, frame(1, 4|8|32, 1, append(append([]byte{3, 0, 0, 0, 0, 1}, grpc...), 0, 0, 0))),
		preface(settings, frame(3, 0, 1, []byte{0, 0, 0, 8}), frame(8, 0, 0, []byte{0, 0, 1, 0})),
		preface(frame(0, 0, 1, make([]byte, 16385))), []byte("PRI * HTTP/2.0\r\n\r\nSM"), {},
	} {
		f.Add(seed, uint16(7))
	}
	f.Fuzz(func(t *testing.T, said []byte, piece uint16) {
		read := func(piece int) ([]byte, *conn) {
			c, _ := newTaped(said, piece)
			got, err := io.ReadAll(c)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return got, c
		}
		whole, c := read(1 << 20)
		cut, _ := read(int(piece%64) + 1)
		if !bytes.Equal(whole, cut) {
			t.Fatalf("read %x in one piece, %x in pieces of %d", whole, cut, piece%64+1)
		}
		if c.buf != nil {
			t.Fatal("a buffer is held at the end")
		}
		if !bytes.HasPrefix(whole, []byte(http2.ClientPreface)) {
			return
		}
		fr := http2.NewFramer(io.Discard, bytes.NewReader(whole[len(http2.ClientPreface):]))
		fr.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
		for {
			got, err := fr.ReadFrame()
			if err != nil {
				return
			}
			h, ok := got.(*http2.MetaHeadersFrame)
			if !ok {
				continue
			}
			s := newSniffer(shelf{}, 32<<10)
			for _, field := range h.Fields {
				s.field(field)
			}
			if s.verdict() == foreign {
				t.Fatalf("grpc-go was given %v", h.Fields)
			}
		}
	})
}
