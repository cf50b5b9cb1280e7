package connectum_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unread is why a file can't be read, in the words of the system.
func unread(t testing.TB, path string) string {
	t.Helper()
	_, err := os.ReadFile(path)
	if err == nil {
		t.Fatalf("%s can be read", path)
	}
	return errors.Unwrap(err).Error()
}

// shown returns the common name of the certificate a new connection is shown.
func shown(t testing.TB, addr string, config *tls.Config) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// Behaviour 74 and fault 1f: what is wrong at the start is a start error that
// names the field and the file.
func TestWrongCertificatesFailTheStart(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t, "ca", nil), t.TempDir()
	cert, key := ca.valid(t, "server")
	_, otherKey := ca.valid(t, "other")
	expired, expiredKey := ca.leaf(t, "old", -2*time.Hour, -time.Hour)
	early, earlyKey := ca.leaf(t, "new", time.Hour, 2*time.Hour)
	sub := newAuthority(t, "sub", ca)
	leaf, leafKey := sub.valid(t, "server")
	path := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		put(t, p, data)
		return p
	}
	certFile, keyFile := path("cert.pem", cert), path("key.pem", key)
	for name, c := range map[string]struct {
		tls  connectum.TLS
		want []string
	}{
		"key without certificate":     {connectum.TLS{KeyFile: keyFile}, []string{"Config.TLS.KeyFile", "without a certificate"}},
		"certificate without key":     {connectum.TLS{CertPEM: cert}, []string{"Config.TLS.CertPEM", "without a key"}},
		"nothing but a client CA":     {connectum.TLS{ClientCAPEM: ca.pem}, []string{"needs a certificate"}},
		"missing file":                {connectum.TLS{CertFile: dir + "/none", KeyFile: keyFile}, []string{"Config.TLS.CertFile " + dir + "/none", unread(t, dir+"/none")}},
		"file and inline":             {connectum.TLS{CertFile: certFile, CertPEM: cert, KeyFile: keyFile}, []string{"CertFile and CertPEM are both set"}},
		"mismatched pair":             {connectum.TLS{CertFile: certFile, KeyPEM: otherKey}, []string{"KeyPEM does not fit CertFile"}},
		"garbage":                     {connectum.TLS{CertPEM: []byte("x"), KeyPEM: key}, []string{"CertPEM: no complete certificate"}},
		"half a certificate":          {connectum.TLS{CertPEM: cert[:len(cert)/2], KeyPEM: key}, []string{"no complete certificate"}},
		"half a key":                  {connectum.TLS{CertPEM: cert, KeyPEM: key[:len(key)/2]}, []string{"KeyPEM: no complete PEM block"}},
		"torn chain":                  {connectum.TLS{CertPEM: append(append([]byte{}, leaf...), sub.pem[:len(sub.pem)/2]...), KeyPEM: leafKey}, []string{"1 of 2 PEM blocks are torn"}},
		"chain in the wrong order":    {connectum.TLS{CertPEM: append(append([]byte{}, cert...), leaf...), KeyPEM: key}, []string{"is not signed by the next"}},
		"expired":                     {connectum.TLS{CertPEM: expired, KeyPEM: expiredKey}, []string{"CertPEM: certificate CN=old expired at"}},
		"not yet valid":               {connectum.TLS{CertPEM: early, KeyPEM: earlyKey}, []string{"CN=new is not valid before"}},
		"client CA is garbage":        {connectum.TLS{CertPEM: cert, KeyPEM: key, ClientCAPEM: []byte("x")}, []string{"ClientCAPEM: no complete certificate"}},
		"client auth without a CA":    {connectum.TLS{CertPEM: cert, KeyPEM: key, ClientAuth: connectum.ClientAuthRequire}, []string{"set ClientCAFile"}},
		"client CA without auth":      {connectum.TLS{CertPEM: cert, KeyPEM: key, ClientCAPEM: ca.pem, ClientAuth: connectum.ClientAuthNone}, []string{"but ClientCAPEM is set"}},
		"client auth of no such kind": {connectum.TLS{CertPEM: cert, KeyPEM: key, ClientAuth: 9}, []string{"ClientAuth is 9"}},
	} {
		cfg := quiet()
		cfg.TLS = c.tls
		err := connectum.New(cfg).Run(t.Context())
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
	cfg := quiet()
	cfg.TLS = connectum.TLS{CertPEM: append(append([]byte{}, leaf...), sub.pem...), KeyPEM: leafKey}
	if err := connectum.New(cfg).Check(); err != nil {
		t.Errorf("a good chain: %v", err)
	}
}

// Behaviour 72 and fault 1f: every bad replacement is refused, and a good one
// taken over, by write, by rename and by the links of Kubernetes.
func TestReplacedCertificatesAreTakenOverOrRefused(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t, "ca", nil), t.TempDir()
	cert, key := ca.valid(t, "first")
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put(t, certFile, cert)
	put(t, keyFile, key)
	var log logbook
	cfg := quiet()
	cfg.Logger = log.logger()
	cfg.TLS = connectum.TLS{CertFile: certFile, KeyFile: keyFile, ReloadInterval: 5 * time.Millisecond}
	in := serving(t, cfg, testservice.Service{})
	trust, addr := ca.trust(), in.Addr().String()
	trust.ServerName = "localhost"

	second, secondKey := ca.valid(t, "second")
	expired, expiredKey := ca.leaf(t, "old", -2*time.Hour, -time.Hour)
	early, earlyKey := ca.leaf(t, "early", time.Hour, 2*time.Hour)
	for i, bad := range []struct {
		cert, key []byte
		reason    string
	}{
		{second[:len(second)/2], secondKey, "no complete certificate"},
		{nil, secondKey, "no complete certificate"},
		{[]byte("garbage"), secondKey, "no complete certificate"},
		{second, key, "does not fit"},
		{cert, secondKey, "does not fit"},
		{second, secondKey[:len(secondKey)/2], "no complete PEM block"},
		{append(append([]byte{}, second...), ca.pem[:len(ca.pem)/2]...), secondKey, "torn"},
		{expired, expiredKey, "expired"},
		{early, earlyKey, "not valid before"},
	} {
		put(t, certFile, bad.cert)
		put(t, keyFile, bad.key)
		eventually(t, fmt.Sprintf("refusal %d: %s", i, bad.reason), func() bool { return strings.Contains(log.String(), bad.reason) })
		if name := shown(t, addr, trust); name != "first" {
			t.Fatalf("replacement %d (%s) is in use: %s", i, bad.reason, name)
		}
		put(t, certFile, cert)
		put(t, keyFile, key)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a missing file is refused", func() bool { return strings.Contains(log.String(), unread(t, certFile)) })
	if name := shown(t, addr, trust); name != "first" {
		t.Fatalf("shown %s after the file was removed", name)
	}

	// An editor that renames, then Kubernetes' swap of a link.
	put(t, dir+"/crt", second)
	put(t, dir+"/key", secondKey)
	for from, to := range map[string]string{dir + "/crt": certFile, dir + "/key": keyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the renamed pair is in use", func() bool { return shown(t, addr, trust) == "second" })
}

// Behaviour 72.
func TestKubernetesSwapOfLinksIsFollowed(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t, "ca", nil), t.TempDir()
	version := func(name string) string {
		cert, key := ca.valid(t, name)
		d := filepath.Join(dir, ".."+name)
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, d+"/tls.crt", cert)
		put(t, d+"/tls.key", key)
		return d
	}
	link := func(target, name string) {
		if err := errors.Join(os.Symlink(target, filepath.Join(dir, "tmp")), os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	link(version("one"), "..data")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	cfg := quiet()
	cfg.TLS = connectum.TLS{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", ReloadInterval: 5 * time.Millisecond}
	in := serving(t, cfg, testservice.Service{})
	trust := ca.trust()
	trust.ServerName = "localhost"
	for _, name := range []string{"two", "three"} {
		link(version(name), "..data")
		eventually(t, name+" is in use", func() bool { return shown(t, in.Addr().String(), trust) == name })
	}
}

// Behaviour 73.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca", nil), newAuthority(t, "other", nil)
	cert, key := ca.valid(t, "server")
	pair := func(a *authority, name string, from, to time.Duration) []tls.Certificate {
		c, k := a.leaf(t, name, from, to)
		p, err := tls.X509KeyPair(c, k)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{p}
	}
	good := pair(ca, "alice", -time.Minute, time.Hour)
	for _, c := range []struct {
		name  string
		auth  connectum.ClientAuth
		certs []tls.Certificate
		want  string // the identity, "nobody", or "" for a refused handshake
	}{
		{"required and shown", connectum.ClientAuthDefault, good, "alice"},
		{"required and missing", connectum.ClientAuthRequire, nil, ""},
		{"required, of another authority", connectum.ClientAuthRequire, pair(other, "mallory", -time.Minute, time.Hour), ""},
		{"required, expired", connectum.ClientAuthRequire, pair(ca, "late", -2*time.Hour, -time.Hour), ""},
		{"requested and shown", connectum.ClientAuthRequest, good, "alice"},
		{"requested and missing", connectum.ClientAuthRequest, nil, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log logbook
			cfg := quiet()
			cfg.Logger = log.logger()
			cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key, ClientCAPEM: ca.pem, ClientAuth: c.auth}
			identity := func(ctx context.Context) string {
				if state, ok := connectum.PeerTLS(ctx); ok {
					return state.PeerCertificates[0].Subject.CommonName
				}
				return "nobody"
			}
			srv := connectum.New(cfg)
			testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				return &testv1.EchoResponse{Text: identity(ctx)}, nil
			}}.Register(srv.RPC())
			srv.Handle("/who", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, identity(r.Context())) }))
			in := run(t, srv)
			in.scheme = "https"
			if said := c.name[:len("require")]; !strings.Contains(log.String(), " tls=true client_certificates="+said+" ") {
				t.Errorf("the start does not tell what is wanted of clients:\n%s", log.String())
			}
			trust := ca.trust()
			trust.Certificates = c.certs
			for name, client := range map[string]*connect.Client{
				"connect h1": in.connect(in.httpClient(false, trust)),
				"connect h2": in.connect(in.httpClient(true, trust)),
				"grpc h2":    in.connect(in.httpClient(true, trust), connecthttp.WithGRPC()),
			} {
				res, err := testv1connect.NewTestServiceClient(client).Echo(t.Context(), &testv1.EchoRequest{})
				if c.want == "" && err == nil || c.want != "" && (err != nil || res.GetText() != c.want) {
					t.Errorf("%s: %q, %v, want %q", name, res.GetText(), err, c.want)
				}
			}
			if c.want != "" {
				res, err := in.httpClient(true, trust).Get(in.url("/who"))
				if err != nil {
					t.Fatal(err)
				}
				if got := body(t, res); got != c.want {
					t.Errorf("plain HTTP: %q, want %q", got, c.want)
				}
			}
		})
	}
}

// A connection that outlives its client certificate is refused further calls.
func TestAConnectionThatOutlivesItsClientCertificateIsRefused(t *testing.T) {
	t.Parallel()
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ca := newAuthority(t, "ca", nil)
				cert, key := ca.valid(t, "server")
				certPEM, keyPEM := ca.leaf(t, "brief", -time.Minute, 10*time.Second)
				pair, err := tls.X509KeyPair(certPEM, keyPEM)
				if err != nil {
					t.Fatal(err)
				}
				cfg := quiet()
				cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key, ClientCAPEM: ca.pem}
				srv, memory := connectum.New(cfg), newMemory()
				testservice.Service{}.Register(srv.RPC())
				ended := make(chan error, 1)
				go func() { ended <- srv.Serve(context.Background(), memory) }()
				synctest.Wait()
				trust, conns := ca.trust(), 0
				trust.Certificates = []tls.Certificate{pair}
				in := instance{t: t}
				c := in.httpClient(two, trust)
				c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
					conns++
					return memory.Dial(ctx)
				}
				client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(c, "https://localhost")))
				time.Sleep(9 * time.Second)
				if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Second)
				if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); connect.CodeOf(err) != connect.CodeUnauthenticated || conns != 1 {
					t.Errorf("%v, over %d connections", err, conns)
				}
				c.CloseIdleConnections()
				if err := errors.Join(srv.Shutdown(context.Background()), <-ended); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// 100 rotations of leaf and authority under load fail no handshake. Clients
// trust all of the authorities from the start, as they do where trust is
// distributed before it is used.
func TestRotationsUnderLoadFailNoHandshake(t *testing.T) {
	t.Parallel()
	const rotations = 100
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	trust := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	var certs, keys [rotations + 1][]byte
	for i := range certs {
		ca := newAuthority(t, fmt.Sprint("ca ", i), nil)
		trust.RootCAs.AddCert(ca.cert)
		certs[i], keys[i] = ca.valid(t, fmt.Sprint(i))
	}
	put(t, certFile, certs[0])
	put(t, keyFile, keys[0])
	cfg := quiet()
	cfg.TLS = connectum.TLS{CertFile: certFile, KeyFile: keyFile, ReloadInterval: time.Millisecond}
	in := serving(t, cfg, testservice.Service{})
	in.scheme = "https"
	over, calls, failed := make(chan struct{}), atomic.Int64{}, atomic.Int64{}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				c := in.httpClient(i%2 == 0, trust)
				_, err := testv1connect.NewTestServiceClient(in.connect(c)).Echo(t.Context(), &testv1.EchoRequest{})
				c.CloseIdleConnections()
				if calls.Add(1); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for i := 1; i <= rotations; i++ {
		put(t, certFile, certs[i]) // for a moment the two do not fit
		put(t, keyFile, keys[i])
		eventually(t, "the new one is in use", func() bool { return shown(t, in.Addr().String(), trust) == fmt.Sprint(i) })
	}
	close(over)
	wg.Wait()
	t.Logf("%d calls on new connections, %d failed", calls.Load(), failed.Load())
}
