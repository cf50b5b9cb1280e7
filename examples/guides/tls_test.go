package guides_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

// What docs/tls.md shows is here, word for word. The files are read where the
// test stands, so these two do not run beside others.

func TestTLSMistakesAreStartErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	srv := connectum.New(connectum.Config{
		TLS: connectum.TLS{CertFile: "tls.crt", KeyFile: "tls.key"},
	})
	if err := srv.Check(); err == nil {
		t.Error("missing files are no mistake")
	}
}

// whoamis answers with the name of the caller.
type whoamis struct{ greeter.Service }

func (whoamis) SayHello(ctx context.Context, _ *greeterv1.SayHelloRequest) (*greeterv1.SayHelloResponse, error) {
	name, err := whoami(ctx)
	return &greeterv1.SayHelloResponse{Message: name}, err
}

func whoami(ctx context.Context) (string, error) {
	state, ok := connectum.PeerTLS(ctx)
	if !ok {
		return "", connect.NewError(connect.CodeUnauthenticated, "a client certificate is needed")
	}
	return state.PeerCertificates[0].Subject.CommonName, nil
}

func TestTLSTellsWhoCalls(t *testing.T) {
	certs := connectumtest.Certs(t)
	t.Chdir(t.TempDir())
	for from, to := range map[string]string{
		certs.Server.CertFile: "tls.crt", certs.Server.KeyFile: "tls.key", certs.CAFile: "clients.crt",
	} {
		pem, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(".", to), pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := connectum.New(connectum.Config{TLS: connectum.TLS{
		CertFile: "tls.crt", KeyFile: "tls.key",
		ClientCAFile: "clients.crt", // makes it mutual: ClientAuth is ClientAuthRequire
	}})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), whoamis{})
	s := connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust(certs.ClientNamed(t, "ada"))))
	res, err := greeterv1connect.NewGreeterServiceClient(s.Connect()).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "x"})
	if err != nil || res.GetMessage() != "ada" {
		t.Errorf("%v, %v", res, err)
	}
	// Control: the door without a certificate.
	_, err = greeterv1connect.NewGreeterServiceClient(connect.NewClient(srv.Transport())).SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "x"})
	connectumtest.WantError(t, err, connect.CodeUnauthenticated)
}
