package connectumtest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func newServer(t testing.TB, cfg connectum.Config, svc testservice.Service) *connectum.Server {
	if cfg.Logger == nil {
		cfg.Logger = connectumtest.Logger(t)
	}
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	return srv
}

func echo(t testing.TB, c *connect.Client) error {
	res, err := testv1connect.NewTestServiceClient(c).Echo(t.Context(), &testv1.EchoRequest{Text: "a"})
	if err == nil && res.GetText() != "a" {
		t.Errorf("answer %v", res)
	}
	return err
}

// Behaviours 157.
func TestStartServesOnAPortOfItsOwnAndCloses(t *testing.T) {
	t.Parallel()
	urls := make(chan string, 4)
	t.Run("several at once", func(t *testing.T) {
		for range cap(urls) {
			t.Run("server", func(t *testing.T) {
				t.Parallel()
				s := connectumtest.Start(t, newServer(t, connectum.Config{}, testservice.Service{}))
				urls <- s.URL()
				for name, client := range map[string]*connect.Client{"connect": s.Connect(), "grpc": s.GRPC(), "grpcweb": s.GRPCWeb()} {
					if err := echo(t, client); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				res, err := s.TLS().Get(s.TLSURL() + "/nowhere")
				if err != nil || res.StatusCode != http.StatusNotFound || res.ProtoMajor != 2 {
					t.Fatalf("plain HTTP over TLS: %v, %v", res, err)
				}
				_ = res.Body.Close()
			})
		}
	})
	close(urls)
	seen := map[string]bool{}
	for url := range urls {
		if seen[url] {
			t.Errorf("%s was given twice", url)
		}
		seen[url] = true
		if _, err := http.Get(url); err == nil {
			t.Errorf("%s still answers after its test", url)
		}
	}
}

func TestStartClosesWhenTheTestFails(t *testing.T) {
	t.Parallel()
	var srv *connectum.Server
	report := failure(t, func(tb testing.TB) {
		srv = newServer(t, connectum.Config{}, testservice.Service{})
		connectumtest.Start(tb, srv)
		tb.Fatal("seeded")
	})
	if report != "seeded\n" || srv.State() != connectum.StateStopped {
		t.Errorf("report %q, state %v", report, srv.State())
	}
}

// The controls: what must fail the test does.
func TestStartReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	if report := failure(t, func(tb testing.TB) {
		connectumtest.Start(tb, newServer(t, connectum.Config{AdminAddr: "nonsense"}, testservice.Service{}))
	}); !strings.Contains(report, "Config.AdminAddr") {
		t.Errorf("wrong configuration: report %q", report)
	}
	if report := failure(t, func(tb testing.TB) {
		connectumtest.Client(tb, newServer(t, connectum.Config{AdminAddr: "nonsense"}, testservice.Service{}))
	}); !strings.Contains(report, "Config.AdminAddr") {
		t.Errorf("wrong configuration, in-process: report %q", report)
	}
	if report := failure(t, func(tb testing.TB) {
		connectumtest.Start(tb, newServer(t, connectum.Config{TLS: connectumtest.Certs(t).ServerTLS()}, testservice.Service{}))
	}); !strings.Contains(report, "see WithTLS") {
		t.Errorf("a server with TLS of its own: report %q", report)
	}
	if report := failure(t, func(tb testing.TB) {
		srv := newServer(t, connectum.Config{}, testservice.Service{})
		srv.OnShutdown("database", func() error { return io.ErrUnexpectedEOF })
		connectumtest.Start(tb, srv)
	}); !strings.Contains(report, "database") {
		t.Errorf("a hook that fails: report %q", report)
	}
}

func TestClientCallsWithoutASocketUnderFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := connectumtest.Client(t, newServer(t, connectum.Config{}, testservice.Service{
			OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}))
		began := time.Now()
		if err := echo(t, client); connect.CodeOf(err) != connect.CodeDeadlineExceeded || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestStartInMemoryWorksUnderFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := connectumtest.Start(t, newServer(t, connectum.Config{}, testservice.Service{}), connectumtest.InMemory())
		for name, client := range map[string]*connect.Client{"connect": s.Connect(), "grpc": s.GRPC(), "grpcweb": s.GRPCWeb()} {
			if err := echo(t, client); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestEachDoorRunsAServiceThroughAllOfThem(t *testing.T) {
	t.Parallel()
	doors := map[string]bool{}
	custom := connectumtest.Door{Name: "custom", Open: func(_ context.Context, srv *connectum.Server) (connect.Transport, error) {
		if srv.State() != connectum.StateRunning || srv.Addr() == nil {
			t.Error("a further door was opened before the server runs")
		}
		return srv.Transport(), nil
	}}
	began := time.Now()
	connectumtest.EachDoor(t, newServer(t, connectum.Config{}, testservice.Service{}), func(t *testing.T, client *connect.Client) {
		doors[t.Name()[strings.LastIndex(t.Name(), "/")+1:]] = true
		if err := echo(t, client); err != nil {
			t.Error(err)
		}
	}, custom)
	t.Logf("%d doors in %v", len(doors), time.Since(began))
	if len(doors) != 10 || !doors["custom"] || !doors["grpc_h2c"] {
		t.Errorf("doors: %v", doors)
	}
}

func TestAClientIsMadeByTheNameOfItsDoor(t *testing.T) {
	t.Parallel()
	s := connectumtest.Start(t, newServer(t, connectum.Config{}, testservice.Service{}))
	for name, want := range map[string]string{
		"in-process": "", "connect json http1": "connect json", "connect proto http1": "connect proto", "connect proto h2c": "connect proto",
		"grpcweb http1": "grpcweb proto", "grpcweb h2c": "grpcweb proto", "grpc h2c": "grpc proto",
		"connect proto tls": "connect proto", "grpc tls": "grpc proto",
	} {
		ctx, info := connect.NewClientContext(t.Context())
		if err := echoAs(ctx, s.Client(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := info.Protocol + " " + info.Codec; want != "" && got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	report := failure(t, func(tb testing.TB) { s.Client(tb, "gopher") })
	if !strings.Contains(report, `the server has no door "gopher", only ["in-process" "connect json http1" `) {
		t.Error(report)
	}
}

func TestLoggerDropsWhatComesAfterTheTest(t *testing.T) {
	t.Parallel()
	var log *slog.Logger
	var inner *recorder
	failure(t, func(tb testing.TB) {
		inner = tb.(*recorder)
		log = connectumtest.Logger(tb)
		log.Debug("during")
	})
	log.Info("after")
	if got := inner.log.String(); !strings.Contains(got, "msg=during") || strings.Contains(got, "after") {
		t.Errorf("log %q", got)
	}
}

func TestCertsMakeServersAndClientsTrustOneAnother(t *testing.T) {
	t.Parallel()
	certs := connectumtest.Certs(t)
	peer := testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		state, ok := connectum.PeerTLS(ctx)
		if !ok {
			return nil, connect.NewError(connect.CodeUnauthenticated, "who are you?")
		}
		return &testv1.EchoResponse{Text: state.PeerCertificates[0].Subject.CommonName}, nil
	}}
	whoAmI := func(s *connectumtest.Server) string {
		res, err := testv1connect.NewTestServiceClient(s.GRPC()).Echo(t.Context(), new(testv1.EchoRequest))
		if err != nil {
			return err.Error()
		}
		return res.GetText()
	}
	for _, test := range []struct {
		name    string
		serving connectum.TLS
		shown   []connectumtest.Certificate
		want    string
	}{
		{"mutual", certs.MutualTLS(), []connectumtest.Certificate{certs.Client}, "client"},
		{"named", certs.MutualTLS(), []connectumtest.Certificate{certs.ClientNamed(t, "alice")}, "alice"},
		// A TLS 1.3 client may write its request before it reads the alert.
		{"mutual, nothing shown", certs.MutualTLS(), nil, "unavailable|canceled"},
		{"server only", certs.ServerTLS(), nil, "who are you?"},
		{"wrong name", connectum.TLS{CertPEM: certs.WrongName.CertPEM, KeyPEM: certs.WrongName.KeyPEM}, nil, "IP SANs"},
		{"another authority", connectumtest.Certs(t).ServerTLS(), nil, "unknown authority"},
	} {
		srv := newServer(t, connectum.Config{TLS: test.serving}, peer)
		s := connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust(test.shown...)))
		got := whoAmI(s)
		if !slices.ContainsFunc(strings.Split(test.want, "|"), func(want string) bool { return strings.Contains(got, want) }) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if err := newServer(t, connectum.Config{TLS: connectum.TLS{CertFile: certs.Expired.CertFile, KeyFile: certs.Expired.KeyFile}}, peer).Check(); err == nil ||
		!strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	before := string(certs.Server.CertPEM)
	if next := certs.Rotate(t); string(next.CertPEM) == before || next.CertFile != certs.Server.CertFile {
		t.Error("Rotate kept the certificate, or moved it")
	}
}
