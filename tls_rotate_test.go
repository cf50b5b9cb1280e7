package connectum_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// mutual is a server that asks clients for certificates, and what it was made of.
type mutual struct {
	*instance
	log      *logbook
	server   certs.CA
	files    certs.Files
	clientCA string // the file
}

func newMutual(t *testing.T, clientCA certs.CA) *mutual {
	t.Helper()
	m := &mutual{log: new(logbook), server: certs.NewCA(t), clientCA: filepath.Join(t.TempDir(), "ca.crt")}
	m.files = m.server.Server(t).Write(t, t.TempDir())
	certs.Overwrite(t, m.clientCA, clientCA.PEM)
	cfg := quiet()
	cfg.Logger = m.log.logger()
	cfg.TLS = connectum.TLS{CertFile: m.files.Cert, KeyFile: m.files.Key, ClientCAFile: m.clientCA, ReloadInterval: 5 * time.Millisecond}
	m.instance = serving(t, cfg, testservice.Service{})
	m.scheme = "https"
	return m
}

// trust is the TLS of a client with a cache of sessions, which knows the server.
func (m *mutual) trust(pair certs.Pair) *tls.Config {
	return &tls.Config{RootCAs: m.server.Pool(), Certificates: []tls.Certificate{pair.TLS}, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
}

// call makes a call on a connection of its own, and reports whether that
// resumed a session.
func (m *mutual) call(t *testing.T, config *tls.Config) (resumed bool, err error) {
	t.Helper()
	c, err := tls.Dial("tcp", m.Addr().String(), config)
	if err != nil {
		return false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	tr := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
	defer tr.CloseIdleConnections()
	client := testv1connect.NewTestServiceClient(m.connect(&http.Client{Transport: tr}))
	_, err = client.Echo(t.Context(), &testv1.EchoRequest{Text: "x"})
	return c.ConnectionState().DidResume, err
}

// Behaviour 72 and fault 1f: client CAs are taken over as certificates are. One
// that was removed is trusted no more, also where a session is resumed that
// began under it, while connections in use live on.
func TestReplacedClientCAsAreTakenOverOrRefused(t *testing.T) {
	t.Parallel()
	old, next := certs.NewCA(t), certs.NewCA(t)
	m := newMutual(t, old)
	alice, bob := m.trust(old.Client(t, "alice")), m.trust(next.Client(t, "bob"))
	if _, err := m.call(t, alice); err != nil {
		t.Fatal(err)
	}
	if resumed, err := m.call(t, alice); err != nil || !resumed { // the control of what follows
		t.Fatalf("the second connection resumed %v, %v", resumed, err)
	}
	if _, err := m.call(t, bob); err == nil {
		t.Fatal("a client of an authority that is not trusted was served")
	}

	torn := bytes.Join([][]byte{old.PEM, next.PEM[:len(next.PEM)/2]}, nil)
	for reason, bad := range map[string][]byte{"no complete certificate": []byte("garbage"), "torn": torn} {
		certs.Overwrite(t, m.clientCA, bad)
		eventually(t, reason, func() bool { return strings.Contains(m.log.String(), reason) })
		if _, err := m.call(t, alice); err != nil {
			t.Errorf("after a bad replacement (%s): %v", reason, err)
		}
	}
	for name, damage := range map[string]func() error{ // as root reads what nobody may, this stands for no permission
		"a directory": func() error { return os.Mkdir(m.clientCA, 0o700) },
		"no file":     func() error { return nil },
	} {
		if err := os.RemoveAll(m.clientCA); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		eventually(t, name, func() bool { return strings.Contains(m.log.String(), unread(t, m.clientCA)) })
		if _, err := m.call(t, alice); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}

	living := testv1connect.NewTestServiceClient(m.connect(m.httpClient(true, alice), connecthttp.WithGRPC()))
	if _, err := living.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(m.clientCA); err != nil {
		t.Fatal(err)
	}
	certs.Overwrite(t, m.clientCA, next.PEM)
	eventually(t, "bob is served", func() bool { _, err := m.call(t, bob); return err == nil })
	if resumed, err := m.call(t, alice); err == nil {
		t.Errorf("a client of the authority that was removed is served (resumed: %v)", resumed)
	}
	alice.ClientSessionCache = nil
	if _, err := m.call(t, alice); err == nil {
		t.Error("a client of the authority that was removed is served in a new session")
	}
	if _, err := living.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
		t.Errorf("the connection that was in use: %v", err)
	}
}

// Fault 1f: after a rotation sessions are resumed and connections live on, as
// they were: with the certificate that they began with.
func TestSessionsAndConnectionsOutliveARotation(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	m := newMutual(t, ca)
	alice := m.trust(ca.Client(t, "alice"))
	c, err := tls.Dial("tcp", m.Addr().String(), alice)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := c.ConnectionState().PeerCertificates[0].SerialNumber
	living := testv1connect.NewTestServiceClient(m.connect(m.httpClient(true, alice), connecthttp.WithGRPC()))
	for range 2 {
		if _, err := living.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	m.files.Rotate(t, m.server.Server(t))
	eventually(t, "the new certificate is shown", func() bool {
		fresh := alice.Clone()
		fresh.ClientSessionCache = nil
		c, err := tls.Dial("tcp", m.Addr().String(), fresh)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(before) != 0
	})
	if resumed, err := m.call(t, alice); err != nil || !resumed {
		t.Errorf("a session from before: resumed %v, %v", resumed, err)
	}
	if _, err := living.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
}

// Fault 1f: versions and curves are Go's own, from TLS 1.2 on.
func TestVersionsAndCurvesOfTLS(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	server := ca.Server(t)
	cfg := quiet()
	cfg.TLS = connectum.TLS{CertPEM: server.CertPEM, KeyPEM: server.KeyPEM}
	in := serving(t, cfg, testservice.Service{})
	for _, c := range []struct {
		version uint16
		curve   tls.CurveID // 0: refused
	}{{tls.VersionTLS10, 0}, {tls.VersionTLS11, 0}, {tls.VersionTLS12, tls.X25519}, {tls.VersionTLS13, tls.X25519MLKEM768}} {
		conn, err := tls.Dial("tcp", in.Addr().String(), &tls.Config{RootCAs: ca.Pool(), MinVersion: c.version, MaxVersion: c.version})
		if err != nil {
			if c.curve != 0 {
				t.Errorf("%s: %v", tls.VersionName(c.version), err)
			}
			continue
		}
		if got := conn.ConnectionState().CurveID; got != c.curve {
			t.Errorf("%s: curve %v, want %v", tls.VersionName(c.version), got, c.curve)
		}
		_ = conn.Close()
	}
}

// Fault 1f: what a client sees of a certificate that it lacks is a broken
// connection, so the server counts and logs the reason, ten times a second at
// most.
func TestHandshakesThatFailAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := certs.NewCA(t)
		server, log := ca.Server(t), new(logbook)
		cfg := quiet()
		cfg.Logger = log.logger()
		cfg.TLS = connectum.TLS{CertPEM: server.CertPEM, KeyPEM: server.KeyPEM, ClientCAPEM: certs.NewCA(t).PEM}
		srv, memory := connectum.New(cfg), newMemory()
		go func() { _ = srv.Serve(context.Background(), memory) }()
		synctest.Wait()
		const attempts = 30
		for range attempts {
			conn, err := memory.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
			if err := c.Handshake(); err == nil {
				_, err = c.Read(make([]byte, 1))
				if err == nil {
					t.Error("a client without a certificate is served")
				}
			}
			_ = c.Close()
			synctest.Wait()
		}
		if n := strings.Count(log.String(), "client didn't provide a certificate"); n != 10 {
			t.Errorf("%d lines of the log, want 10:\n%s", n, log)
		}
		if n := sample(srv, "connectum_tls_handshake_errors_total"); n != attempts {
			t.Errorf("%v failures are counted, want %d", n, attempts)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Fault 1f: a certificate that nobody renews is warned of, once, while there is
// time; what it was replaced by is warned of in its own time.
func TestACertificateThatEndsSoonIsWarnedOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hour = time.Hour
		ca, log := certs.NewCA(t), new(logbook)
		pair := func() certs.Pair {
			return ca.Sign(t, certs.Leaf{CommonName: "localhost", NotBefore: time.Now(), NotAfter: time.Now().Add(10 * hour)})
		}
		files := pair().Write(t, t.TempDir())
		cfg := quiet()
		cfg.Logger = log.logger()
		cfg.TLS = connectum.TLS{CertFile: files.Cert, KeyFile: files.Key, ReloadInterval: time.Minute}
		srv := connectum.New(cfg)
		go func() { _ = srv.Serve(context.Background(), newMemory()) }()
		warned := func() int { synctest.Wait(); return strings.Count(log.String(), "ends soon") }
		time.Sleep(7*hour - 5*time.Minute)
		if n := warned(); n != 0 {
			t.Errorf("%d warnings with a third of the life left", n)
		}
		if left := time.Duration(sample(srv, "connectum_tls_certificate_expiry_seconds")) * time.Second; left != 3*hour+5*time.Minute {
			t.Errorf("the metric tells %v", left)
		}
		time.Sleep(2 * hour)
		if n := warned(); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
		files.Rotate(t, pair())
		time.Sleep(6 * hour)
		if n := warned(); n != 1 || !strings.Contains(log.String(), "replacement in use") {
			t.Errorf("%d warnings after the renewal, want none more", n)
		}
		time.Sleep(2 * hour)
		if n := warned(); n != 2 {
			t.Errorf("%d warnings, want one of each certificate", n)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// sample returns a measurement of srv, or -1.
func sample(srv *connectum.Server, name string) float64 {
	for s := range srv.Metrics() {
		if s.Name == name {
			return s.Value
		}
	}
	return -1
}
