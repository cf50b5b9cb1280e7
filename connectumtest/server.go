package connectumtest

import (
	"crypto/tls"
	"net/http"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
)

// Client returns a client that calls srv in-process: through all its
// interceptors, but without a port or an encoding. srv need not run. It works
// inside testing/synctest.
func Client(t testing.TB, srv *connectum.Server) *connect.Client {
	t.Helper()
	if err := srv.Check(); err != nil {
		t.Fatalf("the server's configuration is wrong: %v", err)
	}
	return connect.NewClient(srv.Transport())
}

// Server is a server that runs until the test ends. Its clients have
// connections of their own and are safe for concurrent use.
type Server struct{ run *doors.Run }

// Option changes how [Start] runs a server.
type Option interface{ apply(*doors.Config) }

type option func(*doors.Config)

func (o option) apply(c *doors.Config) { o(c) }

// InMemory serves on a listener in memory instead of the loopback, for tests
// inside testing/synctest: only [Server]'s own clients reach it.
func InMemory() Option {
	return option(func(c *doors.Config) { c.Memory = true })
}

// WithTLS is for a server whose Config sets TLS: its clients use config, see
// [Certificates.Trust], and there is no plaintext port.
func WithTLS(config *tls.Config) Option {
	return option(func(c *doors.Config) { c.TLS = config })
}

// Start serves srv until the test ends, on free ports of 127.0.0.1 whatever
// Config.Addr says, and returns when it accepts calls. Without [WithTLS] there
// is a second port, where the kit ends TLS and hands the server what was inside.
//
// The test fails when the server does not start, when calls are still in flight
// at the end of the test (they get 5 s), and when the stop or a hook fails.
func Start(t testing.TB, srv *connectum.Server, opts ...Option) *Server {
	t.Helper()
	var cfg doors.Config
	for _, o := range opts {
		o.apply(&cfg)
	}
	return &Server{doors.Start(t, srv, cfg)}
}

// Stop stops the server before the test ends, and returns the error of its run.
func (s *Server) Stop() error { return s.run.Stop() }

// URL returns where the server is, without a trailing slash: "http://...", or
// "https://..." for a server that ends TLS itself.
func (s *Server) URL() string { return s.run.URL() }

// TLSURL returns where the server is for clients with TLS.
func (s *Server) TLSURL() string { return s.run.TLSURL() }

// HTTP1 returns a plain HTTP client that speaks HTTP/1.1 to [Server.URL].
func (s *Server) HTTP1() *http.Client { return s.run.HTTP1() }

// HTTP2 returns a plain HTTP client that speaks HTTP/2 to [Server.URL].
func (s *Server) HTTP2() *http.Client { return s.run.HTTP2() }

// TLS returns a plain HTTP client that speaks HTTP/2 to [Server.TLSURL].
func (s *Server) TLS() *http.Client { return s.run.TLS() }

// Connect returns a client that speaks Connect in protobuf over HTTP/2. With
// options it is any other: connecthttp.WithProtoJSON, WithSendGzip and so on.
func (s *Server) Connect(opts ...connecthttp.Option) *connect.Client {
	return connect.NewClient(connecthttp.NewTransport(s.HTTP2(), s.URL(), opts...))
}

// GRPC returns a client that speaks gRPC over HTTP/2.
func (s *Server) GRPC(opts ...connecthttp.Option) *connect.Client {
	return s.Connect(append(opts, connecthttp.WithGRPC())...)
}

// GRPCWeb returns a client that speaks gRPC-Web over HTTP/1.1.
func (s *Server) GRPCWeb(opts ...connecthttp.Option) *connect.Client {
	opts = append(opts, connecthttp.WithGRPCWeb())
	return connect.NewClient(connecthttp.NewTransport(s.HTTP1(), s.URL(), opts...))
}
