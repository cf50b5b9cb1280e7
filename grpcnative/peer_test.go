package grpcnative_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	"github.com/connectum-go/connectum/internal/doors"
	"github.com/connectum-go/connectum/internal/testservice"
)

const (
	service   = "/connectum.test.v1.TestService/"
	echoPath  = service + "Echo"
	getPath   = service + "Get"
	countPath = service + "Count"
	sumPath   = service + "Sum"
	chatPath  = service + "Chat"
	grpcType  = "application/grpc"
)

// victim is a server with the engine, by the fake clock, on a listener in memory.
type victim struct {
	*connectum.Server
	t      *testing.T
	memory *doors.Memory
	done   chan error
	cancel context.CancelFunc
}

// underAttack runs f beside a server of svc.
func underAttack(t *testing.T, cfg connectum.Config, svc testservice.Service, f func(v *victim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Logger = quiet().Logger
		v := &victim{Server: newServer(cfg, svc), t: t, memory: doors.NewMemory("localhost:80"), done: make(chan error, 1)}
		ctx, cancel := context.WithCancel(context.Background())
		v.cancel = cancel
		go func() { v.done <- v.Serve(ctx, v.memory) }()
		synctest.Wait()
		defer func() {
			cancel()
			if err := <-v.done; err != nil {
				t.Errorf("Serve: %v", err)
			}
			time.Sleep(2 * time.Second) // connections that ended linger for their peers
		}()
		f(v)
	})
}

// peer is a client without manners, and reads header blocks.
type peer struct {
	*attack.Peer
	t   testing.TB
	dec *hpack.Decoder
	enc *hpack.Encoder
	out strings.Builder

	streams map[uint32]*ending
}

func (v *victim) peer(window uint32) *peer {
	v.t.Helper()
	c, err := v.memory.Dial(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return newPeer(v.t, c, window)
}

func newPeer(t testing.TB, c net.Conn, window uint32) *peer {
	t.Helper()
	p := silentPeer(t, c, window)
	p.Acknowledge()
	return p
}

// silentPeer has not acknowledged the server's settings yet. net/http alone wants
// to have sent them before.
func silentPeer(t testing.TB, c net.Conn, window uint32) *peer {
	t.Helper()
	p := &peer{Peer: attack.HTTP2(t, c, window), t: t, dec: hpack.NewDecoder(4096, nil), streams: map[uint32]*ending{}}
	p.enc = hpack.NewEncoder(&p.out)
	return p
}

// headers is a HEADERS frame that uses and fills the table.
func (p *peer) headers(stream uint32, flags byte, pairs ...string) attack.Frame {
	p.out.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return attack.Frame{Kind: attack.Headers, Flags: attack.EndHeaders | flags, Stream: stream, Payload: []byte(p.out.String())}
}

// post is the head of a request.
func (p *peer) post(stream uint32, path, contentType string, more ...string) attack.Frame {
	return p.headers(stream, 0, append([]string{":method", "POST", ":scheme", "http", ":authority", "localhost",
		":path", path, "content-type", contentType, "te", "trailers"}, more...)...)
}

func (p *peer) send(frames ...attack.Frame) {
	p.t.Helper()
	if err := p.Send(frames...); err != nil {
		p.t.Fatal(err)
	}
}

// call makes a whole unary call.
func (p *peer) call(stream uint32, path string, req proto.Message, more ...string) {
	p.t.Helper()
	p.send(p.post(stream, path, grpcType, more...), message(stream, attack.EndStream, req))
}

func message(stream uint32, flags byte, req proto.Message) attack.Frame {
	b, err := proto.Marshal(req)
	if err != nil {
		panic(err)
	}
	return attack.Frame{Kind: attack.Data, Flags: flags, Stream: stream, Payload: append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)}
}

// ending is how a stream ended.
type ending struct {
	fields map[string]string
	data   []byte
	reset  bool
	code   uint32 // of the reset
	done   bool
}

// end reads until stream has ended, acknowledges what has to be, and reports the
// GOAWAYs that came meanwhile. What ended before is remembered.
func (p *peer) end(stream uint32) (e ending, away []uint32) {
	p.t.Helper()
	for !p.seen(stream).done {
		f, err := p.Next()
		if err != nil {
			p.t.Fatalf("stream %d: %v after %+v", stream, err, p.seen(stream))
		}
		switch s := p.seen(f.Stream); {
		case f.Kind == attack.Settings && f.Flags&attack.Ack == 0:
			p.Acknowledge()
		case f.Kind == attack.Ping && f.Flags&attack.Ack == 0:
			p.send(attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: f.Payload})
		case f.Kind == attack.GoAway:
			away = append(away, binary.BigEndian.Uint32(f.Payload))
		case f.Kind == attack.Reset:
			if !s.done {
				s.reset, s.code, s.done = true, f.Code(), true
			}
		case f.Kind == attack.Data:
			s.data = append(s.data, f.Payload...)
			s.done = s.done || f.Flags&attack.EndStream != 0
		case f.Kind == attack.Headers:
			fields, err := p.dec.DecodeFull(f.Payload)
			if err != nil {
				p.t.Fatalf("header block: %v", err)
			}
			for _, h := range fields {
				s.fields[h.Name] = h.Value
			}
			s.done = s.done || f.Flags&attack.EndStream != 0
		}
	}
	return *p.seen(stream), away
}

func (p *peer) seen(stream uint32) *ending {
	e := p.streams[stream]
	if e == nil {
		e = &ending{fields: map[string]string{}}
		p.streams[stream] = e
	}
	return e
}

// answer is the message of an answer.
func answer[M proto.Message](t *testing.T, e ending, into M) M {
	t.Helper()
	if e.reset && e.fields["grpc-status"] == "" || e.fields["grpc-status"] != "0" || len(e.data) < 5 {
		t.Fatalf("ended with %+v", e)
	}
	if err := proto.Unmarshal(e.data[5:], into); err != nil {
		t.Fatal(err)
	}
	return into
}

func newMemory() *doors.Memory { return doors.NewMemory("localhost:80") }
