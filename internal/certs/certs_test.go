package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/certs"
)

func TestServerLeafIsTrustedForEveryLocalName(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	for name, signer := range map[string]certs.CA{"root": ca, "intermediate": ca.Intermediate(t), "two intermediates": ca.Intermediate(t).Intermediate(t)} {
		for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
			if err := handshake(t, signer.Server(t), ca, host, nil); err != nil {
				t.Errorf("%s, %s: %v", name, host, err)
			}
		}
	}
}

func TestBadLeavesAreRefused(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	for _, test := range []struct {
		name string
		pair certs.Pair
		want any
	}{
		{"expired", ca.Expired(t), &invalid},
		{"not yet valid", ca.NotYetValid(t), &invalid},
		{"wrong name", ca.WrongName(t), &host},
		{"another authority", certs.NewCA(t).Server(t), &unknown},
		{"client leaf", ca.Client(t, "alice"), &host},
	} {
		if err := handshake(t, test.pair, ca, "localhost", nil); !errors.As(err, test.want) {
			t.Errorf("%s: error %v, want %T", test.name, err, test.want)
		}
	}
	torn := ca.Server(t).WithKey(ca.Server(t))
	if _, err := tls.X509KeyPair(torn.CertPEM, torn.KeyPEM); err == nil {
		t.Error("a pair with another's key loaded")
	}
}

func TestClientLeafProvesItsName(t *testing.T) {
	t.Parallel()
	ca, clients := certs.NewCA(t), certs.NewCA(t)
	alice := clients.Client(t, "alice")
	if alice.Leaf.Subject.CommonName != "alice" {
		t.Errorf("name %q, want alice", alice.Leaf.Subject.CommonName)
	}
	if err := handshake(t, ca.Server(t), ca, "localhost", &mutual{clients, alice}); err != nil {
		t.Errorf("client of the right authority: %v", err)
	}
	if err := handshake(t, ca.Server(t), ca, "localhost", &mutual{clients, ca.Client(t, "mallory")}); err == nil {
		t.Error("client of another authority was accepted")
	}
}

func TestRotateReplacesFiles(t *testing.T) {
	t.Parallel()
	ca := certs.NewCA(t)
	first, second := ca.Server(t), ca.Server(t)
	files := first.Write(t, t.TempDir())
	wantPair(t, files, first)
	files.Rotate(t, second)
	wantPair(t, files, second)
	info, err := os.Stat(files.Key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key mode %v, error %v; want it for the owner alone", info.Mode(), err)
	}
}

func TestMountRotatesByOneLink(t *testing.T) {
	t.Parallel()
	ca, next := certs.NewCA(t), certs.NewCA(t)
	dir := t.TempDir()
	mount := certs.NewMount(t, dir, ca.Server(t), ca)
	before, err := os.Readlink(mount.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		pair := next.Server(t)
		mount.Rotate(t, pair, next)
		wantPair(t, mount.Files, pair)
	}
	after, err := os.Readlink(mount.Cert)
	if err != nil || after != before {
		t.Errorf("link %q, error %v; want %q for ever", after, err, before)
	}
	bundle, err := os.ReadFile(mount.ClientCA)
	if err != nil || string(bundle) != string(next.PEM) {
		t.Errorf("client CA was not replaced, error %v", err)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "..[0-9]*"))
	if err != nil || len(entries) != 1 {
		t.Errorf("directories %v, error %v; want only the newest", entries, err)
	}
}

type mutual struct {
	ca   certs.CA
	pair certs.Pair
}

// handshake runs a TLS handshake over loopback and returns the error of either side.
func handshake(t *testing.T, server certs.Pair, root certs.CA, host string, m *mutual) error {
	t.Helper()
	serving := &tls.Config{Certificates: []tls.Certificate{server.TLS}}
	dialing := &tls.Config{RootCAs: root.Pool(), ServerName: host}
	if m != nil {
		serving.ClientAuth, serving.ClientCAs = tls.RequireAndVerifyClientCert, m.ca.Pool()
		dialing.Certificates = []tls.Certificate{m.pair.TLS}
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serving)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		served <- conn.(*tls.Conn).HandshakeContext(t.Context())
	}()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: dialing}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		<-served
		return err
	}
	defer conn.Close()
	return <-served // in TLS 1.3 the server judges the client's certificate last
}

func wantPair(t *testing.T, files certs.Files, want certs.Pair) {
	t.Helper()
	got, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Leaf.Equal(want.Leaf) {
		t.Error("the files hold another certificate")
	}
}
