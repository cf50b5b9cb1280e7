package connectum_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Faults 1a and 1c: sizes, over real sockets.

// echoRequest is a message of about n bytes.
func echoRequest(t testing.TB, n int) []byte {
	t.Helper()
	message, err := proto.Marshal(&testv1.EchoRequest{Text: strings.Repeat("x", n)})
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A message of few bytes that is large once inflated is refused, in every
// protocol, and never inflated beyond the limit.
//
//nolint:paralleltest // it measures the heap
func TestBombsAreNotInflated(t *testing.T) {
	in := serving(t, quiet(), testservice.Service{})
	const size = 64 << 20
	bomb := zip(t, make([]byte, size))
	client := map[bool]*http.Client{false: in.h1(), true: in.h2()}
	for _, d := range handmade {
		for _, two := range []bool{false, true} {
			if d.two && !two {
				continue
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := d.send(t, client[two], in.url(""), d.method(), map[string]string{d.encoding: "gzip"}, bytes.NewReader(d.body(1, bomb)))
			runtime.ReadMemStats(&after)
			if got.code != "resource_exhausted" {
				t.Errorf("%s, two=%v: %s, %q, want resource_exhausted", d.name, two, got.code, got.message)
			}
			// All of it, in a buffer that doubles, would take twice its size.
			if n := after.TotalAlloc - before.TotalAlloc; n > size {
				t.Errorf("%s, two=%v: %d MiB were allocated for a limit of 4", d.name, two, n>>20)
			}
			// The control: what is within the limit is inflated.
			within := d.body(1, zip(t, echoRequest(t, 100<<10)))
			if d.name == "connect json" {
				within = zip(t, []byte(`{"text":"x"}`))
			}
			if d.name == "connect stream" {
				within = d.body(1, zip(t, countBody(t)[5:]))
			}
			if got := d.send(t, client[two], in.url(""), d.method(), map[string]string{d.encoding: "gzip"}, bytes.NewReader(within)); got.code != "" {
				t.Errorf("%s, two=%v: a message within the limit: %s, %q", d.name, two, got.code, got.message)
			}
		}
	}
}

// A length that is claimed costs nothing until the bytes come.
//
//nolint:paralleltest // it measures the heap
func TestClaimedLengthsAllocateNothing(t *testing.T) {
	in := serving(t, quiet(), testservice.Service{})
	const claims, claim = 50, 4 << 20
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range claims {
		conn := dial(t, in.Addr().String())
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: %d\r\n\r\n", countPath, claim+5)
		_, _ = conn.Write(binary.BigEndian.AppendUint32([]byte{0}, claim))
	}
	eventually(t, "every claim is held", func() bool { return in.InFlight() == claims })
	runtime.GC()
	runtime.ReadMemStats(&during)
	if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > claims*claim/10 {
		t.Errorf("%d claims of %d MiB hold %d MiB", claims, claim>>20, grown>>20)
	}
}

// Nesting ends at the depth of the library, in words of our own.
func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	in := serving(t, quiet(), testservice.Service{})
	nestedProto := func(depth int) []byte {
		heads, size := make([][]byte, depth+1), 0
		for i := range depth { // from the innermost Node.child out
			heads[depth-i] = binary.AppendUvarint([]byte{2<<3 | 2}, uint64(size))
			size += len(heads[depth-i])
		}
		heads[0] = binary.AppendUvarint([]byte{6<<3 | 2}, uint64(size)) // EchoRequest.node
		return bytes.Join(heads, nil)
	}
	nestedJSON := func(depth int) []byte {
		return []byte(`{"node":` + strings.Repeat(`{"child":`, depth) + "{}" + strings.Repeat("}", depth) + "}")
	}
	for _, test := range []struct {
		d    dialect
		body []byte
		want string
	}{
		{handmade[0], nestedProto(1000), ""}, {handmade[0], nestedProto(20_000), "the request message is not valid proto"},
		{handmade[1], nestedJSON(1000), ""}, {handmade[1], nestedJSON(20_000), "the request message is not valid json"},
		{handmade[1], []byte(strings.Repeat(`{"node":`, 100_000)), "the request message is not valid json"},
		{handmade[1], []byte(`{"unknown":` + strings.Repeat("[", 200_000)), "the request message is not valid json"},
		{handmade[3], nestedProto(20_000), "the request message is not valid proto"},
		{handmade[4], nestedProto(20_000), "the request message is not valid proto"},
	} {
		got := test.d.send(t, in.h2(), in.url(""), echoPath, nil, bytes.NewReader(test.d.body(0, test.body)))
		code := "invalid_argument"
		if test.want == "" {
			code = ""
		}
		if got.code != code || got.message != test.want {
			t.Errorf("%s, %d bytes: %s, %q, want %s, %q", test.d.name, len(test.body), got.code, got.message, code, test.want)
		}
	}
}

// Header blocks are bounded, by bytes, by fields and after HPACK; no handler
// sees one that is too large, and a connection goes down for it at most.
func TestHeaderBombsAreRefused(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	cfg := quiet()
	in := serving(t, cfg, testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		reached.Add(1)
		return &testv1.EchoResponse{}, nil
	}})
	head := "POST " + echoPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "x-%d: y\r\n", i)
		}
		return b.String()
	}
	for name, header := range map[string]string{
		"one large field": "X: " + strings.Repeat("x", 64<<10) + "\r\n", "10000 fields": fields(10_000), "a field without an end": "X: " + strings.Repeat("x", 1<<20),
	} {
		conn := dial(t, in.Addr().String())
		go func() { _, _ = io.WriteString(conn, head+header+"\r\n{}") }() // the server may not read all of it
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
			t.Errorf("HTTP/1.1, %s: %q, %v, want 431", name, answer, err)
		}
	}

	post := attack.Post(1, echoPath, "application/json")
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprint("x-", i), "y")
	}
	// 12,000 references, of a byte each, to a field of 3,900 bytes in the table.
	reference := append([]byte{0x40, 1, 'x', 127}, binary.AppendUvarint(nil, 3900-127)...)
	reference = append(reference, strings.Repeat("x", 3900)...)
	for name, more := range map[string][]byte{
		"one large field": attack.Fields("x", strings.Repeat("x", 64<<10)), "10000 fields": attack.Fields(many...),
		"references": append(reference, bytes.Repeat([]byte{0x80 | 62}, 12_000)...), "a megabyte": attack.Fields("x", strings.Repeat("x", 1<<20)),
	} {
		conn, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		p := attack.HTTP2(t, conn, 1<<20)
		p.Acknowledge()
		go func() {
			block := append(bytes.Clone(post.Payload), more...)
			first := attack.Frame{Kind: attack.Headers, Stream: 1, Payload: block[:min(len(block), 16<<10)]}
			block = block[len(first.Payload):]
			if p.Send(first) != nil {
				return
			}
			for len(block) > 0 {
				f := attack.Frame{Kind: attack.Continuation, Stream: 1, Payload: block[:min(len(block), 16<<10)]}
				if block = block[len(f.Payload):]; len(block) == 0 {
					f.Flags = attack.EndHeaders
				}
				if p.Send(f) != nil {
					return
				}
			}
			_ = p.Send(attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 1, Payload: []byte("{}")})
		}()
		for {
			f, err := p.Next()
			if err != nil && isTimeout(err) {
				t.Errorf("HTTP/2, %s: no refusal", name)
			}
			if err != nil || f.Stream == 1 || f.Kind == attack.GoAway { // an answer, 431, or the end of the connection
				break
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached the handler", n)
	}
	// The control: the same by hand, with less.
	conn, err := net.Dial("tcp", in.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	p := attack.HTTP2(t, conn, 1<<20)
	p.Acknowledge()
	post.Payload = append(post.Payload, attack.Fields("x", strings.Repeat("x", 8<<10))...)
	_ = p.Send(post, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 1, Payload: []byte("{}")})
	if _, err := p.Until(attack.Headers); err != nil || reached.Load() != 1 {
		t.Errorf("8 KiB of header: %v, %d calls", err, reached.Load())
	}
}
