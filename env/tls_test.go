package env_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestTLSOfTheEnvironment(t *testing.T) {
	t.Parallel()
	certs := connectumtest.Certs(t)
	base := map[string]string{"TLS_CERT": string(certs.Server.CertPEM), "TLS_KEY": certs.Server.KeyFile}
	for _, test := range []struct {
		name        string
		more        map[string]string
		shown       []connectumtest.Certificate
		want        string
		knowsClient bool
	}{
		{"TLS_CERT and TLS_KEY", nil, nil, "ok", false},
		{"TLS_CLIENT_CA, and nobody", map[string]string{"TLS_CLIENT_CA": certs.CAFile}, nil, "unavailable", false},
		{"TLS_CLIENT_CA, and a client", map[string]string{"TLS_CLIENT_CA": certs.CAFile}, []connectumtest.Certificate{certs.Client}, "ok", true},
		{"TLS_CLIENT_AUTH, and nobody", map[string]string{"TLS_CLIENT_CA": certs.CAFile, "TLS_CLIENT_AUTH": "request"}, nil, "ok", false},
	} {
		variables := map[string]string{}
		for _, m := range []map[string]string{base, test.more} {
			for k, v := range m {
				variables[k] = v
			}
		}
		t.Run(test.name, func(t *testing.T) {
			cfg := parse(t, variables).Server()
			cfg.Logger = slog.New(slog.DiscardHandler)
			srv := connectum.New(cfg)
			known := false
			testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				_, known = connectum.PeerTLS(ctx)
				return &testv1.EchoResponse{}, nil
			}}.Register(srv.RPC())
			s := connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust(test.shown...)))
			_, err := testv1connect.NewTestServiceClient(s.GRPC()).Echo(t.Context(), &testv1.EchoRequest{})
			if outcome(err) != test.want || known != test.knowsClient {
				t.Errorf("%v, client known: %v, want %s, %v", err, known, test.want, test.knowsClient)
			}
		})
	}
}

func TestTLSTimesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		variables       map[string]string
		handshake       string
		reloadsBy1500ms float64
	}{
		{nil, "5s", 1},
		{map[string]string{"HANDSHAKE_TIMEOUT": "12s", "TLS_RELOAD_INTERVAL": "2s"}, "12s", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			certs := connectumtest.Certs(t)
			variables := map[string]string{"TLS_CERT": certs.Server.CertFile, "TLS_KEY": certs.Server.KeyFile}
			for k, v := range test.variables {
				variables[k] = v
			}
			r := start(t, variables, testservice.Service{})
			certs.Rotate(t)
			time.Sleep(1500 * time.Millisecond)
			for m := range r.Metrics() {
				if m.Name == "connectum_tls_reloads_total" && m.Value != test.reloadsBy1500ms {
					t.Errorf("%v: %v reloads in 1.5 s, want %v", test.variables, m.Value, test.reloadsBy1500ms)
				}
			}
			if got := closes(r.dial()); got != test.handshake {
				t.Errorf("%v: a silent handshake ends after %s, want %s", test.variables, got, test.handshake)
			}
		})
	}
}
