package connectum_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// toy is an engine as a stranger could write one: connections that begin with a
// request for "/toy" are its own. Each further frame of DATA on one is a call of
// the procedure it names, and the answer's text comes back, or the error.
type toy struct {
	left, served atomic.Int64
}

const toyDoor connectum.Door = "toy"

func (e *toy) engine() connectum.Engine {
	return connectum.Engine{Door: toyDoor, Serve: e.serve, Claims: func(c *connectum.EngineConn, block []byte) bool {
		return c.RemoteAddr() != nil && bytes.Contains(block, []byte("/toy"))
	}}
}

func (e *toy) serve(c *connectum.EngineConn) {
	c.OnLeave(func() {
		e.left.Add(1)
		_ = c.Close()
	})
	if _, err := io.ReadFull(c, make([]byte, 24)); err != nil {
		return
	}
	if _, err := c.Write(attack.Frame{Kind: attack.Settings}.Append(nil)); err != nil {
		return
	}
	for {
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		if head[3] != attack.Data {
			continue
		}
		s := &toyStream{text: string(body)}
		call := c.Call(context.Background(), string(body))
		info := &connect.CallInfo{Spec: call.Spec(), Protocol: "toy"}
		if err := call.Serve(info, s); err != nil {
			s.answer = "error: " + err.Error()
		}
		call.Sent(len(s.answer))
		e.served.Add(1)
		if _, err := c.Write(attack.Frame{Kind: attack.Data, Stream: binary.BigEndian.Uint32(head[5:]), Payload: []byte(s.answer)}.Append(nil)); err != nil {
			return
		}
	}
}

type toyStream struct{ text, answer string }

func (s *toyStream) Receive(any) error    { return nil }
func (s *toyStream) SendHeaders() error   { return nil }
func (s *toyStream) Interrupt(bool, bool) {}
func (s *toyStream) Send(msg any) error   { s.answer = msg.(*testv1.GetResponse).GetText(); return nil }

func TestAStrangersEngineServesIntoTheSameProcedures(t *testing.T) {
	t.Parallel()
	e := new(toy)
	srv := connectum.New(quiet())
	testservice.Service{
		OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			return &testv1.GetResponse{Text: "by " + string(connectum.DoorOf(ctx))}, nil
		},
		OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) { panic("secret") },
	}.Register(srv.RPC())
	srv.AddEngine(e.engine())
	in := run(t, srv)
	c, err := net.Dial("tcp", in.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := attack.HTTP2(t, c, 1<<20)
	ask := func(procedure string) string {
		t.Helper()
		if err := p.Send(attack.Frame{Kind: attack.Data, Stream: 1, Payload: []byte(procedure)}); err != nil {
			t.Fatal(err)
		}
		f, err := p.Until(attack.Data)
		if err != nil {
			t.Fatal(err)
		}
		return string(f.Payload)
	}
	if err := p.Send(attack.Post(1, "/toy", "text/plain")); err != nil {
		t.Fatal(err)
	}
	const service = "/connectum.test.v1.TestService/"
	for procedure, want := range map[string]string{
		service + "Get":  "by toy",
		service + "Echo": "error: internal: internal error, id ",
		service + "None": `error: unimplemented: procedure "/connectum.test.v1.TestService/None" not registered`,
		"/none.None/N":   "error: unimplemented: the server has no such procedure",
	} {
		if got := ask(procedure); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", procedure, got, want)
		}
	}
	for _, client := range []*http.Client{in.h1(), in.h2()} { // everything else is net/http's
		res, err := client.Get(in.url("/toy/not"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if err := in.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if e.left.Load() != 1 || e.served.Load() != 4 {
		t.Errorf("%d connections left, %d calls served", e.left.Load(), e.served.Load())
	}
}

// An engine that panics over what strangers send ends neither the process nor, where
// it only had to say whether the connection is its own, the connection.
func TestAnEngineThatPanicsCostsItsConnectionAlone(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	srv.AddEngine(connectum.Engine{Door: toyDoor,
		Claims: func(_ *connectum.EngineConn, block []byte) bool {
			if bytes.Contains(block, []byte("/claims")) {
				panic("claims")
			}
			return bytes.Contains(block, []byte("/serve"))
		},
		Serve: func(*connectum.EngineConn) { panic("serve") },
	})
	in := run(t, srv)
	for path, served := range map[string]bool{"/claims": true, "/serve": false, "/none": true} {
		c, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p := attack.HTTP2(t, c, 1<<20)
		post := attack.Post(1, path, "text/plain")
		post.Flags |= attack.EndStream
		if err := p.Send(post); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Until(attack.Headers); (err == nil) != served {
			t.Errorf("%s: answered with %v, want an answer: %v", path, err, served)
		}
		_ = p.Close()
	}
}

func TestMistakesInAnEngineAreStartErrors(t *testing.T) {
	t.Parallel()
	serve := func(*connectum.EngineConn) {}
	claims := func(*connectum.EngineConn, []byte) bool { return false }
	for name, e := range map[string]connectum.Engine{
		"no name":        {Serve: serve, Claims: claims},
		"a name of ours": {Door: connectum.DoorHTTP, Serve: serve, Claims: claims},
		"no Serve":       {Door: "x", Claims: claims},
		"no Claims":      {Door: "x", Serve: serve},
		"no address":     {Door: "x", Serve: serve, Addr: "nowhere"},
	} {
		srv := connectum.New(quiet())
		srv.AddEngine(e)
		if err := srv.Run(t.Context()); err == nil || errors.Is(err, connectum.ErrForced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := connectum.New(quiet())
	if err := late.Check(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("AddEngine after Check does not panic")
		}
	}()
	late.AddEngine(connectum.Engine{Door: "x", Serve: serve, Claims: claims})
}
