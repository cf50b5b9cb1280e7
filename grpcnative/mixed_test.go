package grpcnative_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

// A client that has one connection for everything, as a proxy may: whatever
// comes first on it, every call gets the right answer, and streams that were
// there first live on.
func TestOneConnectionForEveryProtocolGetsEveryAnswer(t *testing.T) {
	t.Parallel()
	pairs := connectumtest.Certs(t)
	for name, given := range map[string]connectum.TLS{"plaintext": {}, "TLS": {CertPEM: pairs.Server.CertPEM, KeyPEM: pairs.Server.KeyPEM}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, opts := quiet(), []connectumtest.Option{}
			if cfg.TLS = given; given.CertPEM != nil {
				opts = append(opts, connectumtest.WithTLS(pairs.Trust()))
			}
			srv := newServer(cfg, native())
			srv.Handle("GET /plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plain") }))
			mixOn(t, connectumtest.Start(t, srv, opts...))
		})
	}
}

// mixOn calls run by every protocol over one connection.
func mixOn(t *testing.T, run *connectumtest.Server) {
	t.Helper()
	one := run.HTTP2()
	via := func(opts ...connecthttp.Option) testv1connect.TestServiceClient {
		return testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(one, run.URL(), opts...)))
	}
	grpc := via(connecthttp.WithGRPC())
	get := func(name string, c testv1connect.TestServiceClient, want connectum.Door) {
		t.Helper()
		res, err := c.Get(t.Context(), &testv1.GetRequest{})
		if err != nil || res.GetText() != string(want) {
			t.Errorf("%s: %v, %v; want door %s", name, res, err, want)
		}
	}
	get("grpc first", grpc, grpcnative.DoorGRPC)
	chat, err := grpc.Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	echo := func(n int64) {
		t.Helper()
		if err := chat.Send(&testv1.ChatRequest{Number: n}); err != nil {
			t.Fatal(err)
		}
		if res, err := chat.Receive(); err != nil || res.GetNumber() != n {
			t.Fatalf("stream: %v, %v", res, err)
		}
	}
	echo(1)
	get("connect", via(), connectum.DoorHTTP)
	get("json", via(connecthttp.WithProtoJSON()), connectum.DoorHTTP)
	get("grpcweb", via(connecthttp.WithGRPCWeb()), connectum.DoorHTTP)
	res, err := one.Get(run.URL() + "/plain")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(body) != "plain" {
		t.Errorf("plain HTTP: %q", body)
	}
	echo(2) // over the connection that was asked to be left
	_ = chat.CloseSend()
	if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	get("grpc from a host that mixes", grpc, connectum.DoorHTTP)
}

// What is on the wire then: the foreign request alone is refused, as not looked
// at; the client is asked to leave; calls go on being served, by the table of
// header fields that the client has.
func TestAForeignRequestIsRefusedAsNotLookedAt(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		call := func(stream uint32) {
			t.Helper()
			p.call(stream, getPath, &testv1.GetRequest{}, "x-one", "indexed", "x-two", strings.Repeat("long", 100))
		}
		get := func(stream uint32) []uint32 {
			t.Helper()
			e, away := p.end(stream)
			if got := answer(t, e, new(testv1.GetResponse)).GetText(); got != string(grpcnative.DoorGRPC) {
				t.Errorf("stream %d came by %q", stream, got)
			}
			return away
		}
		call(1)
		get(1)
		call(3)
		get(3)
		p.send(p.post(5, getPath, "application/proto", "x-three", "table"), attack.Frame{Kind: attack.Data, Stream: 5, Flags: attack.EndStream})
		call(7) // cross the GOAWAY
		call(9)
		e, away := p.end(5)
		if !e.reset || e.code != attack.RefusedStream || len(e.fields) > 0 {
			t.Errorf("the foreign request ended with %+v", e)
		}
		away = append(away, get(7)...)
		away = append(away, get(9)...)
		if len(away) == 0 || away[0] != 1<<31-1 {
			t.Errorf("GOAWAYs %v, want the first to let everything in", away)
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// A host that mixes has the engine again after an hour.
func TestAHostThatMixedIsServedNativelyAnHourLater(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		by := func() string {
			c, err := v.memory.Dial(v.t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := silentPeer(t, c, 1<<20) // it may be net/http's
			p.call(1, getPath, &testv1.GetRequest{})
			e, _ := p.end(1)
			_ = p.Close()
			return answer(t, e, new(testv1.GetResponse)).GetText()
		}
		if got := by(); got != string(grpcnative.DoorGRPC) {
			t.Errorf("before: by %q", got)
		}
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		p.send(p.post(3, getPath, "application/proto"))
		p.end(3)
		_ = p.Close()
		if got := by(); got != string(connectum.DoorHTTP) {
			t.Errorf("after: by %q", got)
		}
		time.Sleep(time.Hour)
		if got := by(); got != string(grpcnative.DoorGRPC) {
			t.Errorf("an hour later: by %q", got)
		}
		synctest.Wait()
	})
}

// The trailers of a request mean nothing in gRPC, and grpc-go would end the
// connection for them.
func TestTrailersOfARequestEndItAlone(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		for stream := uint32(1); stream < 9; stream += 2 {
			p.send(p.post(stream, getPath, grpcType), message(stream, 0, &testv1.GetRequest{}),
				p.headers(stream, attack.EndStream, "x-after", "trailer"))
			e, away := p.end(stream)
			if got := answer(t, e, new(testv1.GetResponse)).GetText(); got != string(grpcnative.DoorGRPC) || len(away) > 0 {
				t.Errorf("stream %d came by %q, GOAWAYs %v", stream, got, away)
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// What nobody serves is told so on a native connection, as net/http would.
func TestWhatNobodyServesIsToldSo(t *testing.T) {
	t.Parallel()
	underAttack(t, connectum.Config{}, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		stream := uint32(1)
		for name, want := range map[string]struct {
			head []string
			is   map[string]string
		}{
			"a picture":         {[]string{":method", "POST", ":path", getPath, "content-type", "image/jpeg"}, map[string]string{":status": "415"}},
			"not POST":          {[]string{":method", "PUT", ":path", getPath, "content-type", grpcType}, map[string]string{":status": "405"}},
			"unknown codec":     {[]string{":method", "POST", ":path", getPath, "content-type", grpcType + "+thrift"}, map[string]string{"grpc-status": "12"}},
			"unknown encoding":  {[]string{":method", "POST", ":path", getPath, "content-type", grpcType, "grpc-encoding", "br"}, map[string]string{"grpc-status": "12"}},
			"unknown procedure": {[]string{":method", "POST", ":path", service + "None", "content-type", grpcType}, map[string]string{"grpc-status": "12"}},
			"unknown service":   {[]string{":method", "POST", ":path", "/none.Service/None", "content-type", grpcType}, map[string]string{"grpc-status": "12", "grpc-message": "the server has no such procedure"}},
		} {
			stream += 2
			p.send(p.headers(stream, attack.EndStream, append([]string{":scheme", "http", ":authority", "localhost"}, want.head...)...))
			e, away := p.end(stream)
			for k, is := range want.is {
				if e.fields[k] != is || len(away) > 0 {
					t.Errorf("%s: %v, GOAWAYs %v; want %s %s", name, e, away, k, is)
				}
			}
		}
		_ = p.Close()
		synctest.Wait()
	})
}

// Connections that begin with something else are net/http's from the first byte.
func TestEverythingElseGoesToNetHTTP(t *testing.T) {
	t.Parallel()
	run := connectumtest.Start(t, newServer(quiet(), native()))
	run.EachDoor(t, func(t *testing.T, client *connect.Client) {
		if _, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), &testv1.GetRequest{}); err != nil {
			t.Error(err)
		}
	})
}
