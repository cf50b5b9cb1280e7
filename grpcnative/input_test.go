package grpcnative_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Input that is not what the protocol says is answered as by the other doors, and
// costs its call alone.
func TestMalformedInputIsRefused(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte { // from the innermost Node.child out
		heads, size := make([][]byte, depth+1), 0
		for i := range depth {
			heads[depth-i] = binary.AppendUvarint([]byte{2<<3 | 2}, uint64(size))
			size += len(heads[depth-i])
		}
		heads[0] = binary.AppendUvarint([]byte{6<<3 | 2}, uint64(size)) // EchoRequest.node
		return bytes.Join(heads, nil)
	}
	const invalid = "the request message is not valid proto"
	underAttack(t, connectum.Config{}, testservice.Service{}, func(v *victim) {
		for _, test := range []struct {
			name         string
			flag         byte
			message      []byte
			header       []string
			status, text string
		}{
			{"nesting within the library's limit", 0, nested(1000), nil, "0", ""},
			{"deep nesting", 0, nested(20_000), nil, "3", invalid},
			{"a field that is torn", 0, []byte("\x0a\x05hi"), nil, "3", invalid},
			{"invalid UTF-8", 0, []byte("\x0a\x02\xc3\x28"), nil, "3", invalid},
			{"not gzip", 1, []byte("garbage"), []string{"grpc-encoding", "gzip"}, "3", "the request message can't be read"},
			{"an unknown encoding", 1, []byte("x"), []string{"grpc-encoding", "br"}, "12", ""},
			{"a timeout without a unit", 0, nil, []string{"grpc-timeout", "1"}, "3", ""},
			{"a timeout that is no number", 0, nil, []string{"grpc-timeout", "soonS"}, "3", ""},
			{"a timeout of too many digits", 0, nil, []string{"grpc-timeout", "123456789S"}, "3", ""},
			{"the longest timeout", 0, nil, []string{"grpc-timeout", "99999999H"}, "0", ""},
		} {
			conn, err := v.memory.Dial(v.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, stream := silentPeer(t, conn, 1<<20), uint32(1) // what grpc-go can't serve goes to net/http with its connection
			frames := []attack.Frame{p.post(stream, echoPath, grpcType, test.header...)}
			for part := range slices.Chunk(attack.Envelope(test.flag, test.message), 16<<10) {
				frames = append(frames, attack.Frame{Kind: attack.Data, Stream: stream, Payload: part})
			}
			frames[len(frames)-1].Flags = attack.EndStream
			p.send(frames...)
			e, _ := p.end(stream)
			if e.fields["grpc-status"] != test.status || !strings.HasPrefix(e.fields["grpc-message"], test.text) {
				t.Errorf("%s: %+v, want %s %q", test.name, e, test.status, test.text)
			}
			p.call(3, getPath, &testv1.GetRequest{})
			if e, _ := p.end(3); e.fields["grpc-status"] != "0" {
				t.Errorf("%s, the next call: %+v", test.name, e)
			}
			_ = p.Close()
			synctest.Wait()
		}
	})
}

// Header blocks are bounded, as the first of a connection and later.
func TestHeaderBombsAreRefused(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		for name, size := range map[string]int{"within": 8 << 10, "one large field": 64 << 10, "a megabyte": 1 << 20} {
			var reached atomic.Int64
			svc := testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				reached.Add(1)
				return &testv1.EchoResponse{}, nil
			}}
			underAttack(t, connectum.Config{}, svc, func(v *victim) {
				p, stream := v.peer(1<<20), uint32(1)
				if !first {
					p.call(1, getPath, &testv1.GetRequest{})
					p.end(1)
					stream = 3
				}
				block := append(attack.Post(stream, echoPath, grpcType).Payload, attack.Fields("x", strings.Repeat("x", size))...)
				go func() {
					kind := byte(attack.Headers)
					for len(block) > 0 {
						f := attack.Frame{Kind: kind, Stream: stream, Payload: block[:min(len(block), 16<<10)]}
						if block, kind = block[len(f.Payload):], attack.Continuation; len(block) == 0 {
							f.Flags = attack.EndHeaders
						}
						if p.Send(f) != nil {
							return
						}
					}
					_ = p.Send(attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream, Payload: attack.Envelope(0, nil)})
				}()
				for { // an answer, a reset, or the end of the connection
					f, err := p.Next()
					if err != nil || f.Stream == stream || f.Kind == attack.GoAway {
						break
					}
				}
				_ = p.Close()
				synctest.Wait()
				if got, want := reached.Load(), int64(0); name == "within" && got != 1 || name != "within" && got != want {
					t.Errorf("%s, first %v: %d requests reached the handler", name, first, got)
				}
			})
		}
	}
}
