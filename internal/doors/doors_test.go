package doors_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestMain(m *testing.M) { leak.Main(m) }

func server(cfg connectum.Config, svc testservice.Service) *connectum.Server {
	cfg.Logger = slog.New(slog.DiscardHandler)
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	return srv
}

// exercise makes a call of each kind.
func exercise(t *testing.T, client *connect.Client, bidi bool) {
	t.Helper()
	c := testv1connect.NewTestServiceClient(client)
	res, err := c.Echo(t.Context(), &testv1.EchoRequest{Text: "a"})
	if err != nil || res.GetText() != "a" {
		t.Fatalf("Echo: %v, %v", res, err)
	}
	sum, err := c.Sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(3) {
		if err := sum.Send(&testv1.SumRequest{Number: n}); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := sum.CloseAndReceive(); err != nil || res.GetSum() != 3 {
		t.Fatalf("Sum: %v, %v", res, err)
	}
	count, err := c.Count(t.Context(), &testv1.CountRequest{Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := count.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := count.Receive(); !errors.Is(err, io.EOF) {
		t.Fatalf("Count ended with %v", err)
	}
	if !bidi {
		return
	}
	chat, err := c.Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := chat.Send(&testv1.ChatRequest{Text: "b"}); err != nil {
			t.Fatal(err)
		}
		if res, err := chat.Receive(); err != nil || res.GetText() != "b" {
			t.Fatalf("Chat: %v, %v", res, err)
		}
	}
	if err := chat.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
		t.Fatalf("Chat ended with %v", err)
	}
}

func TestEachDoorReachesTheServerByItsProtocol(t *testing.T) {
	t.Parallel()
	var seen []string
	srv := server(connectum.Config{}, testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		info, _ := connect.CallInfoForServerContext(ctx)
		return &testv1.GetResponse{Text: string(connectum.DoorOf(ctx)) + " " + info.Protocol + " " + info.Codec}, nil
	}})
	extra := doors.InProcess()
	extra.Name = "further"
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		exercise(t, client, false)
		res, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), new(testv1.GetRequest))
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, res.GetText())
	}, extra)
	want := "inproc  |http connect json|http connect proto|http connect proto|http grpcweb proto|http grpcweb proto|" +
		"http grpc proto|http connect proto|http grpc proto|inproc  "
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("doors:\n got %s\nwant %s", got, want)
	}
}

func TestEachBidiLeavesOutWhatIsHalfDuplex(t *testing.T) {
	t.Parallel()
	n := 0
	doors.EachBidi(t, server(connectum.Config{}, testservice.Service{}), func(t *testing.T, client *connect.Client) {
		n++
		exercise(t, client, true)
	})
	if n != 6 {
		t.Errorf("%d doors, want 6", n)
	}
}

func TestAServerThatEndsTLSItselfIsReachedByTLSAlone(t *testing.T) {
	t.Parallel()
	ca, clients := certs.NewCA(t), certs.NewCA(t)
	pair, alice := ca.Server(t), clients.Client(t, "alice")
	srv := server(connectum.Config{TLS: connectum.TLS{CertPEM: pair.CertPEM, KeyPEM: pair.KeyPEM, ClientCAPEM: clients.PEM}},
		testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			if state, ok := connectum.PeerTLS(ctx); ok {
				return &testv1.GetResponse{Text: state.PeerCertificates[0].Subject.CommonName}, nil
			}
			return &testv1.GetResponse{Text: string(connectum.DoorOf(ctx))}, nil
		}})
	run := doors.Start(t, srv, doors.Config{TLS: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{alice.TLS}}})
	if !strings.HasPrefix(run.URL(), "https://") || run.URL() != run.TLSURL() {
		t.Errorf("URL %s, TLS %s", run.URL(), run.TLSURL())
	}
	n := 0
	run.Each(t, func(t *testing.T, client *connect.Client) {
		n++
		exercise(t, client, false)
		res, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), new(testv1.GetRequest))
		if err != nil || res.GetText() != "alice" && res.GetText() != "inproc" {
			t.Errorf("peer %v, error %v", res, err)
		}
	})
	if n != 7 {
		t.Errorf("%d doors, want 7", n)
	}
}

func TestDoorsWorkInMemoryUnderFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := server(connectum.Config{}, testservice.Service{OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		run := doors.Start(t, srv, doors.Config{Memory: true})
		for _, d := range run.Doors() {
			client := run.Client(t, d)
			exercise(t, client, !d.HalfDuplex)
			began := time.Now()
			_, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), new(testv1.GetRequest))
			if took := time.Since(began); connect.CodeOf(err) != connect.CodeDeadlineExceeded || took != 30*time.Second {
				t.Errorf("%s: %v after %v", d.Name, err, took)
			}
		}
		res, err := run.HTTP1().Get(run.URL() + "/nothing")
		if err != nil || res.StatusCode != http.StatusNotFound {
			t.Fatalf("plain HTTP: %v, %v", res, err)
		}
		_ = res.Body.Close()
	})
}

// The control: a call left in flight at the end is reported, and named.
func TestStopTellsOfCallsThatAreLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{})
		srv := server(connectum.Config{}, testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			close(entered)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		inner := &recorder{TB: t}
		run := doors.Start(inner, srv, doors.Config{Memory: true})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = testv1connect.NewTestServiceClient(run.Client(t, run.Doors()[6])).Echo(t.Context(), new(testv1.EchoRequest))
		}()
		<-entered
		inner.cleanUp()
		<-ended
		if !strings.Contains(inner.report, "TestService/Echo") {
			t.Errorf("report %q, want the name of the call", inner.report)
		}
	})
}

func TestAStartThatFailsFailsTheTest(t *testing.T) {
	t.Parallel()
	inner := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		doors.Start(inner, server(connectum.Config{Addr: "nonsense"}, testservice.Service{}), doors.Config{})
	}()
	<-ended
	if !strings.Contains(inner.report, "Config.Addr") {
		t.Errorf("report %q, want the mistake", inner.report)
	}
}

func TestPipeHasDeadlinesAndHalfClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := doors.Pipe(&net.UnixAddr{}, &net.UnixAddr{})
		if err := a.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := a.Read(make([]byte, 1))
		if e, ok := err.(net.Error); !ok || !e.Timeout() || time.Since(began) != time.Second {
			t.Errorf("Read: %v after %v", err, time.Since(began))
		}
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := a.Write(make([]byte, 1<<20))
		if e, ok := err.(net.Error); !ok || !e.Timeout() || n == 0 || n == 1<<20 {
			t.Errorf("Write: %d, %v", n, err)
		}
		_ = a.(interface{ CloseWrite() error }).CloseWrite()
		if all, err := io.ReadAll(b); err != nil || len(all) != n {
			t.Errorf("ReadAll: %d, %v; want %d", len(all), err, n)
		}
		_ = a.SetDeadline(time.Time{})
		_, _ = b.Write([]byte("x"))
		if n, err := a.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Errorf("Read after the half-close: %d, %v", n, err)
		}
		_ = b.Close()
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after Close of the other end: %v", err)
		}
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("Write after Close succeeded")
		}
	})
}

// recorder is a testing.TB that keeps cleanups and failures to itself.
type recorder struct {
	testing.TB
	cleanups []func()
	report   string
}
