package grpcnative_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// The stop sequence: the client is asked to leave by two GOAWAYs, what is in
// flight ends by itself, streams are told, and the stop is a clean one.
func TestTheStopLosesNoCall(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			time.Sleep(3 * time.Second)
			return &testv1.EchoResponse{Text: "whole"}, nil
		},
		OnChat: func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
			<-connectum.Draining(ctx)
			return s.Send(&testv1.ChatResponse{Text: "draining"})
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			_, err := s.Receive() // deaf to the drain, and its client is silent
			return &testv1.SumResponse{}, err
		},
	}
	underAttack(t, connectum.Config{Shutdown: connectum.Shutdown{StreamGrace: time.Second}}, svc, func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, echoPath, &testv1.EchoRequest{})
		p.send(p.post(3, chatPath, grpcType), p.post(5, sumPath, grpcType))
		synctest.Wait()
		if n := v.InFlight(); n != 3 {
			t.Fatalf("%d calls in flight", n)
		}
		began := time.Now()
		v.cancel()
		p.call(7, echoPath, &testv1.EchoRequest{}) // crosses the GOAWAY
		told, away := p.end(3)
		if got := answer(t, told, new(testv1.ChatResponse)).GetText(); got != "draining" {
			t.Errorf("the stream was told %q", got)
		}
		deaf, more := p.end(5)
		if took := time.Since(began); deaf.fields["grpc-status"] != "14" || deaf.fields["grpc-message"] != "the server is shutting down" || took > 2*time.Second {
			t.Errorf("the deaf stream ended after %v with %+v", took, deaf)
		}
		away = append(away, more...)
		for _, stream := range []uint32{1, 7} {
			e, more := p.end(stream)
			if got := answer(t, e, new(testv1.EchoResponse)).GetText(); got != "whole" {
				t.Errorf("stream %d: %q", stream, got)
			}
			away = append(away, more...)
		}
		if len(away) != 2 || away[0] != 1<<31-1 || away[1] != 7 {
			t.Errorf("GOAWAYs %v, want one that lets all in and one that names the last", away)
		}
		var err error
		for err == nil {
			_, err = p.Next()
		}
		if took := time.Since(began); !errors.Is(err, io.EOF) || took > 5*time.Second {
			t.Errorf("the connection ended after %v: %v", took, err)
		}
	})
}

// At the deadline what is left is cut, named, and told why as far as it can be.
func TestTheStopCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		svc := testservice.Service{
			OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				<-ctx.Done()
				if context.Cause(ctx).Error() != "unavailable: the server is shutting down" {
					t.Errorf("the cause is %v", context.Cause(ctx))
				}
				return nil, ctx.Err()
			},
			OnGet: func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
				<-blocked // for ever
				return nil, nil
			},
		}
		cfg := quiet()
		cfg.Shutdown.Timeout = 5 * time.Second
		v := &victim{Server: newServer(cfg, svc), t: t, memory: newMemory()}
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { done <- v.Serve(ctx, v.memory) }()
		synctest.Wait()
		p := v.peer(1 << 20)
		p.call(1, echoPath, &testv1.EchoRequest{})
		p.call(3, getPath, &testv1.GetRequest{})
		synctest.Wait()
		began := time.Now()
		cancel()
		if e, _ := p.end(1); e.fields["grpc-status"] != "14" {
			t.Errorf("the call that heeds its context: %+v", e)
		}
		for {
			if _, err := p.Next(); err != nil {
				break
			}
		}
		if err := <-done; !errors.Is(err, connectum.ErrForced) || time.Since(began) > 6*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(blocked)
		time.Sleep(2 * time.Second)
	})
}

// A connection that has reached its age is asked to leave, and closes.
func TestOldConnectionsAreAskedToLeave(t *testing.T) {
	t.Parallel()
	cfg := connectum.Config{Limits: connectum.Limits{MaxConnectionAge: time.Minute}}
	underAttack(t, cfg, native(), func(v *victim) {
		p := v.peer(1 << 20)
		p.call(1, getPath, &testv1.GetRequest{})
		p.end(1)
		began, goaways := time.Now(), 0
		for {
			f, err := p.Next()
			if err != nil {
				break
			}
			if f.Kind == attack.GoAway {
				goaways++
			}
			if f.Kind == attack.Ping && f.Flags&attack.Ack == 0 {
				_ = p.Send(attack.Frame{Kind: attack.Ping, Flags: attack.Ack, Payload: f.Payload})
			}
		}
		if took := time.Since(began); goaways != 2 || took < 54*time.Second || took > 67*time.Second {
			t.Errorf("%d GOAWAYs, closed after %v", goaways, took)
		}
	})
}

// An engine with an address of its own has the server's limits, its stop and its
// TLS, and leaves the server's own port alone.
func TestAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	pairs := connectumtest.Certs(t)
	for name, way := range map[string]struct {
		server connectum.TLS
		trust  *tls.Config
	}{"plaintext": {}, "TLS": {pairs.MutualTLS(), pairs.Trust(pairs.Client)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connectumtest.NoLeaks(t)
			cfg := quiet()
			cfg.TLS = way.server
			srv := connectum.New(cfg)
			native().Register(srv.RPC())
			grpcnative.Register(srv, grpcnative.Config{Addr: "127.0.0.1:0"})
			door, opts := grpcnative.Door(), []connectumtest.Option{}
			if way.trust != nil {
				door, opts = grpcnative.DoorTLS(way.trust), append(opts, connectumtest.WithTLS(way.trust))
			}
			run := connectumtest.Start(t, srv, opts...)
			get := func(c *connect.Client, want connectum.Door) {
				t.Helper()
				res, err := testv1connect.NewTestServiceClient(c).Get(t.Context(), &testv1.GetRequest{})
				if err != nil || res.GetText() != string(want) {
					t.Errorf("%v, %v; want door %s", res, err, want)
				}
			}
			get(run.Through(t, door), grpcnative.DoorGRPC)
			get(run.GRPC(), connectum.DoorHTTP)
			if way.trust != nil {
				return
			}
			p := new(http.Protocols)
			p.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: p}
			defer tr.CloseIdleConnections()
			res, err := (&http.Client{Transport: tr}).Post("http://"+srv.EngineAddr(grpcnative.DoorGRPC).String()+getPath, "application/proto", nil)
			if err != nil || res.StatusCode != http.StatusUnsupportedMediaType {
				t.Errorf("Connect on the engine's own port: %v, %v; want 415", res, err)
			}
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
}

// Over mutual TLS the handler has the client's certificate, from the same port.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	pairs := connectumtest.Certs(t)
	cfg := quiet()
	cfg.TLS = pairs.MutualTLS()
	srv := newServer(cfg, testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		state, ok := connectum.PeerTLS(ctx)
		if !ok || connectum.DoorOf(ctx) != grpcnative.DoorGRPC {
			return nil, connect.Errorf(connect.CodeInternal, "no certificate by door %s", connectum.DoorOf(ctx))
		}
		return &testv1.GetResponse{Text: state.PeerCertificates[0].Subject.CommonName}, nil
	}})
	run := connectumtest.Start(t, srv, connectumtest.WithTLS(pairs.Trust(pairs.Client)))
	client := testv1connect.NewTestServiceClient(run.Through(t, grpcnative.DoorTLS(pairs.Trust(pairs.Client))))
	if res, err := client.Get(t.Context(), &testv1.GetRequest{}); err != nil || res.GetText() == "" {
		t.Errorf("%v, %v", res, err)
	}
	stranger := testv1connect.NewTestServiceClient(run.Through(t, grpcnative.DoorTLS(pairs.Trust())))
	if _, err := stranger.Get(t.Context(), &testv1.GetRequest{}); err == nil {
		t.Error("a client without a certificate was served")
	}
}

// Two servers in one process know nothing of each other.
func TestTwoServersInOneProcess(t *testing.T) {
	t.Parallel()
	one := connectumtest.Start(t, newServer(quiet(), native()))
	two := connectumtest.Start(t, newServer(quiet(), native()))
	for _, run := range []*connectumtest.Server{one, two, one} {
		if _, err := testv1connect.NewTestServiceClient(run.Through(t, grpcnative.Door())).Get(t.Context(), &testv1.GetRequest{}); err != nil {
			t.Error(err)
		}
	}
	if err := one.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := testv1connect.NewTestServiceClient(two.Through(t, grpcnative.Door())).Get(t.Context(), &testv1.GetRequest{}); err != nil {
		t.Error(err)
	}
}

// Infrastructure is outside the limits behind this door too, and told of the
// drain; traffic is counted.
func TestInfrastructureAndTraffic(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Limits.MaxInFlight = 1
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := newServer(cfg, testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		traffic, ok := connectum.TrafficOf(ctx)
		if !ok || traffic.ReceivedBytes != 5+3 {
			t.Errorf("traffic %v, %v", traffic, ok)
		}
		close(entered)
		<-leave
		return &testv1.GetResponse{}, nil
	}})
	health.Register(srv)
	run := connectumtest.Start(t, srv)
	client := run.Through(t, grpcnative.Door())
	got := make(chan error, 1)
	go func() {
		_, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), &testv1.GetRequest{Text: "a"})
		got <- err
	}()
	<-entered
	_, err := testv1connect.NewTestServiceClient(client).Echo(t.Context(), &testv1.EchoRequest{})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("over the limit: %v", err)
	}
	spec := connect.Spec{Procedure: "/grpc.health.v1.Health/Check"}
	if err := client.CallUnary(t.Context(), spec, &testv1.GetRequest{}, &testv1.GetResponse{}); err != nil {
		t.Errorf("health over the limit: %v", err)
	}
	close(leave)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Mistakes are start errors.
func TestMistakesAreStartErrors(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Middleware = []func(http.Handler) http.Handler{func(h http.Handler) http.Handler { return h }}
	srv := newServer(cfg, native())
	if err := srv.Check(); err == nil {
		t.Error("middleware that would be passed by is no mistake")
	}
	allowed := connectum.New(cfg)
	grpcnative.Register(allowed, grpcnative.Config{PastMiddleware: true})
	if err := allowed.Check(); err != nil {
		t.Error(err)
	}
	twice := newServer(quiet(), native())
	grpcnative.Register(twice, grpcnative.Config{})
	if err := twice.Check(); err == nil {
		t.Error("two engines of one name are no mistake")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	busy := connectum.New(quiet())
	grpcnative.Register(busy, grpcnative.Config{Addr: taken.Addr().String()})
	if err := busy.Run(t.Context()); err == nil {
		t.Error("an address that is taken is no mistake")
	}
}

// Who connects to the engine's own address while the server drains is served like
// anyone else, and asked to leave.
func TestConnectionsThatComeDuringTheDrainAreServed(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Shutdown.StreamGrace = -1
	svc := native()
	draining := make(chan (<-chan struct{}), 1)
	svc.OnChat = func(ctx context.Context, s testv1connect.TestServiceChatServerStream) error {
		draining <- connectum.Draining(ctx)
		_, err := s.Receive()
		return err
	}
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	grpcnative.Register(srv, grpcnative.Config{Addr: "127.0.0.1:0"})
	run := connectumtest.Start(t, srv)
	chat, err := testv1connect.NewTestServiceClient(run.Through(t, grpcnative.Door())).Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.SendHeaders(); err != nil {
		t.Fatal(err)
	}
	drain := <-draining
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(context.Background()) }()
	<-drain
	addr := srv.EngineAddr(grpcnative.DoorGRPC).String()
	for i := range 200 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, c, 1<<20)
		p.call(1, getPath, &testv1.GetRequest{})
		if e, _ := p.end(1); e.fields["grpc-status"] != "0" {
			t.Fatalf("connection %d: %+v", i, e)
		}
		_ = p.Close()
	}
	_ = chat.Send(&testv1.ChatRequest{})
	_, _ = chat.Receive()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
