package grpcnative_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

// half is the head of a call on a stream, in two frames.
func (p *peer) half(stream uint32, path string) (begin, rest attack.Frame) {
	begin = p.post(stream, path, grpcType)
	rest = attack.Frame{Kind: attack.Continuation, Flags: attack.EndHeaders, Stream: stream, Payload: begin.Payload[2:]}
	begin.Flags, begin.Payload = 0, begin.Payload[:2]
	return begin, rest
}

// Nothing may stand within a header block (RFC 9113, section 6.10): who sends
// something there is not served on, as if it had stood before or behind it.
func TestWhatStandsWithinAHeaderBlockEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(p *peer) attack.Frame{
		"PING": func(*peer) attack.Frame { return attack.Frame{Kind: attack.Ping, Payload: make([]byte, 8)} },
		"PING acknowledgement": func(*peer) attack.Frame {
			return attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: make([]byte, 8)}
		},
		"DATA":          func(*peer) attack.Frame { return message(1, attack.EndStream, &testv1.EchoRequest{}) },
		"WINDOW_UPDATE": func(*peer) attack.Frame { return attack.Frame{Kind: attack.Window, Payload: []byte{0, 0, 0, 1}} },
		"RST_STREAM": func(*peer) attack.Frame {
			return attack.Frame{Kind: attack.Reset, Stream: 1, Payload: []byte{0, 0, 0, 8}}
		},
		"HEADERS of another stream": func(p *peer) attack.Frame {
			return attack.Frame{Kind: attack.Headers, Flags: attack.EndHeaders | attack.EndStream, Stream: 3, Payload: attack.Fields(
				":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", "application/grpc-web", "te", "trailers")}
		},
		"CONTINUATION of another stream": func(*peer) attack.Frame {
			return attack.Frame{Kind: attack.Continuation, Stream: 3, Payload: []byte{0}}
		},
		"an unknown frame": func(*peer) attack.Frame { return attack.Frame{Kind: 0xfa} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underAttack(t, connectum.Config{}, native(), func(v *victim) {
				p := v.peer(1 << 20)
				p.send(p.post(1, echoPath, grpcType))
				begin, rest := p.half(5, getPath)
				p.send(begin, between(p))
				_ = p.Send(rest, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 5, Payload: make([]byte, 5)})
				_ = p.SetReadDeadline(time.Now().Add(20 * time.Second))
				for {
					f, err := p.Next()
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal("the connection goes on")
					} else if err != nil {
						break
					}
					if f.Kind == attack.Headers && f.Stream >= 3 {
						t.Fatalf("stream %d was answered", f.Stream)
					}
				}
				_ = p.Close()
				synctest.Wait()
			})
		})
	}
}

// A request that stalls is ended at its limit also while its client keeps a header
// block open on another stream.
func TestAnOpenHeaderBlockHoldsNoOtherCall(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		p.send(p.post(3, echoPath, grpcType))
		begin, rest := p.half(5, getPath)
		p.send(begin)
		began := time.Now()
		e, _ := p.end(3)
		if took := time.Since(began); e.fields["grpc-status"] != "4" || took > 16*time.Second {
			t.Errorf("after %v: %+v", took, e)
		}
		p.send(rest, attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 5, Payload: make([]byte, 5)})
		if e, _ := p.end(5); e.fields["grpc-status"] != "0" {
			t.Errorf("the other call: %+v", e)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// bomb is a header block of some ten kilobytes that says a thousand times as much:
// it names a field of 3.9 KiB over and over, by its place in the table.
func (p *peer) bomb(stream uint32, name string) attack.Frame {
	f := p.post(stream, getPath, grpcType, name, strings.Repeat("QUJD", 1000)) // base64
	for range 12_000 {
		f.Payload = append(f.Payload, 0x80|62)
	}
	f.Flags |= attack.EndStream
	return f
}

// What a header block says is bounded by Limits.MaxHeaderBytes, not by what it
// takes to say it, also where it is said to grpc-go in other words.
func TestAHeaderBlockThatSaysTooMuchCostsLittle(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	for _, name := range []string{"x-bomb", "x-bomb-bin"} {
		for _, trailers := range []bool{false, true} {
			underAttack(t, connectum.Config{}, native(), func(v *victim) {
				p := v.peer(1 << 20)
				p.call(1, getPath, &testv1.GetRequest{})
				p.end(1)
				if trailers { // which grpc-go must not see, nor a table with them in it
					p.send(p.post(3, echoPath, grpcType), message(3, 0, &testv1.EchoRequest{}), p.headers(3, attack.EndStream, "x-checksum", "1"))
					p.end(3)
				}
				bomb := p.bomb(5, name)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				p.send(bomb)
				e, _ := p.end(5)
				runtime.ReadMemStats(&after)
				if !e.reset {
					t.Errorf("%s, trailers before: %v: %+v", name, trailers, e)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
					t.Errorf("%s, trailers before: %v: %d bytes were allocated for %d", name, trailers, n, len(bomb.Payload))
				}
				p.call(7, getPath, &testv1.GetRequest{})
				if e, _ := p.end(7); e.fields["grpc-status"] != "0" {
					t.Errorf("%s, trailers before: %v: the next call: %+v", name, trailers, e)
				}
				_ = p.Close()
				synctest.Wait()
			})
		}
	}
}

// A block that no table makes sense of ends the connection, also where the table of
// grpc-go, which trailers do not reach, would make sense of it.
func TestAHeaderBlockThatCannotBeReadEndsTheConnection(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{}, "x-one", "1", "x-two", "2", "x-three", "3")
		p.end(1)
		p.send(p.post(3, echoPath, grpcType), message(3, 0, &testv1.EchoRequest{}),
			p.headers(3, attack.EndStream, "x-large", strings.Repeat("~", 4000))) // nothing else has a place besides
		p.end(3)
		f := attack.Frame{Kind: attack.Headers, Flags: attack.EndHeaders | attack.EndStream, Stream: 5, Payload: append(attack.Fields(
			":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType, "te", "trailers"), 0x80|63)}
		p.send(f)
		_ = p.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			f, err := p.Next()
			if errors.Is(err, os.ErrDeadlineExceeded) || f.Stream == 5 {
				t.Fatalf("%+v, %v: the connection goes on", f, err)
			} else if err != nil {
				break
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}
