package grpcnative_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/certs"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

// A connection that outlives the certificate of its client is refused further
// calls, as by the HTTP door, and not one before. By the fake clock: a
// certificate that is valid for a second has expired before a machine that is busy
// has shaken hands, and the call then fails for that, with a broken pipe.
func TestAConnectionThatOutlivesItsClientCertificateIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := certs.NewCA(t)
		server := ca.Server(t)
		brief := ca.Sign(t, certs.Leaf{CommonName: "brief", Client: true, NotAfter: time.Now().Add(time.Minute)})
		cfg := quiet()
		cfg.TLS = connectum.TLS{CertPEM: server.CertPEM, KeyPEM: server.KeyPEM, ClientCAPEM: ca.PEM}
		srv, memory, ended := newServer(cfg, native()), newMemory(), make(chan error, 1)
		go func() { ended <- srv.Serve(context.Background(), memory) }()
		synctest.Wait()
		conn, err := grpc.NewClient("passthrough:///localhost", grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{brief.TLS}})),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return memory.Dial(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		call := func() error {
			res := new(testv1.GetResponse)
			err := conn.Invoke(context.Background(), getPath, &testv1.GetRequest{}, res)
			if err == nil && res.GetText() != string(grpcnative.DoorGRPC) {
				t.Errorf("came by %q", res.GetText())
			}
			return err
		}
		for range 5 {
			if err := call(); err != nil {
				t.Errorf("while it is valid: %v", err)
			}
			time.Sleep(11 * time.Second)
		}
		time.Sleep(6 * time.Second)
		if err := call(); status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != "the client certificate has expired" {
			t.Errorf("when it has expired: %v", err)
		}
		// The connection goes with that, once the client has read its GOAWAY. A new
		// one is refused by the handshake, and the client reads why.
		synctest.Wait()
		if err := call(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "expired certificate") {
			t.Errorf("over a new connection: %v", err)
		}
		_ = conn.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // what lingers, and grpc-go's own timers
	})
}
