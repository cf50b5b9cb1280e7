package grpcnative_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	"github.com/connectum-go/connectum/internal/certs"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// silences are what peers say that then say nothing more.
var silences = []string{"", "P", "PRI * HTTP/2.0\r\n\r\nSM", clientPreface, clientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "POST / HTT"}

// Peers whose first bytes do not come are received each on its own: whoever comes
// after them is served at once, by every door, of whatever protocol, on the server's
// port as on the engine's own.
func TestSilentPeersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	pairs := connectumtest.Certs(t)
	for name, trust := range map[string]*tls.Config{"plaintext": nil, "TLS": pairs.Trust()} {
		for _, own := range []string{"", "127.0.0.1:0"} {
			t.Run(strings.TrimSpace(name+" "+own), func(t *testing.T) {
				t.Parallel()
				cfg, door, opts := quiet(), grpcnative.Door(), []connectumtest.Option{}
				cfg.Limits.HeaderTimeout, cfg.Limits.HandshakeTimeout = time.Hour, time.Hour // they stay
				if trust != nil {
					cfg.TLS = connectum.TLS{CertPEM: pairs.Server.CertPEM, KeyPEM: pairs.Server.KeyPEM}
					door, opts = grpcnative.DoorTLS(trust), append(opts, connectumtest.WithTLS(trust))
				}
				srv := connectum.New(cfg)
				native().Register(srv.RPC())
				grpcnative.Register(srv, grpcnative.Config{Addr: own})
				run := connectumtest.Start(t, srv, opts...)
				addr := srv.Addr()
				if own != "" {
					addr = srv.EngineAddr(grpcnative.DoorGRPC)
				}
				const each = 20
				for _, said := range silences {
					for range each {
						c, err := net.Dial("tcp", addr.String())
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = c.Close() })
						if _, err := io.WriteString(c, said); err != nil {
							t.Fatal(err)
						}
					}
				}
				natives := 0
				run.EachDoor(t, func(t *testing.T, client *connect.Client) {
					res, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), &testv1.GetRequest{})
					if err != nil {
						t.Error(err)
					}
					if res.GetText() == string(grpcnative.DoorGRPC) {
						natives++
					}
				}, door)
				if natives == 0 {
					t.Error("no call came in natively")
				}
				var there float64
				for s := range srv.Metrics() {
					if s.Name == "connectum_connections" {
						there = s.Value
					}
				}
				// TLS ends connections that say what is none.
				if want := map[bool]float64{true: each, false: each * float64(len(silences))}[trust != nil]; there < want {
					t.Errorf("%v connections, want the %v that are silent: nothing is proven", there, want)
				}
			})
		}
	}
}

// Where the server ends TLS, a peer is cut that says nothing before its handshake,
// within it, or between it and its preface.
func TestSilentPeersOfTLSAreCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		shake bool
		said  string
		want  time.Duration
	}{
		{"no handshake", false, "", 5 * time.Second},
		{"half a record", false, "\x16\x03\x01\x02\x00\x01", 5 * time.Second},
		{"no preface", true, "", 5 * time.Second},
		{"half a preface", true, "PRI * HTTP/2", 5 * time.Second},
		{"no settings", true, clientPreface, 5 * time.Second},
		{"no request", true, clientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", 120 * time.Second},
		{"half a head", true, clientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x09\x01", 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ca := certs.NewCA(t)
				server := ca.Server(t)
				cfg := quiet()
				cfg.TLS = connectum.TLS{CertPEM: server.CertPEM, KeyPEM: server.KeyPEM}
				srv, memory, ended := newServer(cfg, native()), newMemory(), make(chan error, 1)
				go func() { ended <- srv.Serve(context.Background(), memory) }()
				synctest.Wait()
				raw, err := memory.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				c, began := raw, time.Now()
				if test.shake {
					secure := tls.Client(raw, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
					if err := secure.Handshake(); err != nil {
						t.Fatal(err)
					}
					c = secure
				}
				if _, err := io.WriteString(c, test.said); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, c)
				if took := time.Since(began); took < test.want || took > test.want+2*time.Second {
					t.Errorf("cut after %v, want %v", took, test.want)
				}
				_ = c.Close()
				if err := srv.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// On the engine's own address, where no request tells whose a connection is, the
// same peers are cut. By the real clock, as the address is one of TCP.
func TestSilentPeersOfTheOwnAddressAreCut(t *testing.T) {
	t.Parallel()
	pairs := connectumtest.Certs(t)
	for name, given := range map[string]connectum.TLS{"plaintext": {}, "TLS": {CertPEM: pairs.Server.CertPEM, KeyPEM: pairs.Server.KeyPEM}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quiet()
			cfg.TLS = given
			cfg.Limits.HeaderTimeout, cfg.Limits.HandshakeTimeout = 200*time.Millisecond, 200*time.Millisecond
			cfg.Limits.IdleTimeout = 400 * time.Millisecond
			srv := connectum.New(cfg)
			native().Register(srv.RPC())
			grpcnative.Register(srv, grpcnative.Config{Addr: "127.0.0.1:0"})
			opts := []connectumtest.Option{}
			if given.CertPEM != nil {
				opts = append(opts, connectumtest.WithTLS(pairs.Trust()))
			}
			connectumtest.Start(t, srv, opts...)
			for _, said := range silences {
				c, err := net.Dial("tcp", srv.EngineAddr(grpcnative.DoorGRPC).String())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(c, said); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, c) // for ever, if it is not cut
				_ = c.Close()
			}
		})
	}
}
