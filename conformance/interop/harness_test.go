package interop_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestMain(m *testing.M) { leak.Main(m) }

const patience = time.Minute // for what happens at once

// each runs f against a server of svc over plaintext, TLS and mutual TLS, by
// net/http and by the native engine.
func each(t *testing.T, cfg connectum.Config, svc testservice.Service, f func(t *testing.T, c grpcclient.Client), opts ...grpc.DialOption) {
	t.Helper()
	certs := connectumtest.Certs(t)
	for _, way := range []struct {
		name   string
		server connectum.TLS
		client *tls.Config
		native bool
	}{
		{"plaintext", connectum.TLS{}, nil, false},
		{"TLS", certs.ServerTLS(), certs.Trust(), false},
		{"mutual TLS", certs.MutualTLS(), certs.Trust(certs.Client), false},
		{"native plaintext", connectum.TLS{}, nil, true},
		{"native TLS", certs.ServerTLS(), certs.Trust(), true},
		{"native mutual TLS", certs.MutualTLS(), certs.Trust(certs.Client), true},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.TLS = way.server
			f(t, grpcclient.Client{Conn: serve(t, cfg, way.client, func(srv *connectum.Server) {
				svc.Register(srv.RPC())
				if way.native {
					grpcnative.Register(srv, grpcnative.Config{})
					t.Cleanup(func() { cameBy(t, srv) })
				}
			}, opts...)})
		})
	}
}

// cameBy fails t when nothing came by the native engine.
func cameBy(t *testing.T, srv *connectum.Server) {
	for m := range srv.Metrics() {
		if m.Name == "connectum_grpcnative_connections_total" && m.Value == 0 {
			t.Error("no connection came by the native engine")
		}
	}
}

// serve runs a server that setup has set up, until the test ends, and connects
// to it.
func serve(t *testing.T, cfg connectum.Config, client *tls.Config, setup func(*connectum.Server), opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	return dial(t, start(t, cfg, client, setup), client, opts...)
}

// start runs a server that setup has set up and returns its address.
func start(t *testing.T, cfg connectum.Config, client *tls.Config, setup func(*connectum.Server)) string {
	t.Helper()
	cfg.Logger = connectumtest.Logger(t)
	srv := connectum.New(cfg)
	setup(srv)
	var with []connectumtest.Option
	if client != nil {
		with = append(with, connectumtest.WithTLS(client))
	}
	_, addr, _ := strings.Cut(connectumtest.Start(t, srv, with...).URL(), "://")
	return addr
}

func dial(t *testing.T, target string, config *tls.Config, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(creds), grpc.WithDisableRetry())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
