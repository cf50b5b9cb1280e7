package connectum

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned makes a certificate that is valid from and to these times.
func selfSigned(t testing.TB, name string, from, to time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
}

// A clock that jumps takes no certificate out of use, and replacements are
// judged by the time that it says then.
func TestAClockThatJumpsTakesNoCertificateAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	renew := func(name string, from, to time.Duration) {
		cert, key := selfSigned(t, name, now.Add(from), now.Add(to))
		for file, data := range map[string][]byte{certFile: cert, keyFile: key} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	const hour = time.Hour
	renew("first", -hour, hour)
	var log bytes.Buffer
	srv := New(Config{TLS: TLS{CertFile: certFile, KeyFile: keyFile}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c, err := newCertificates(srv)
	if err != nil {
		t.Fatal(err)
	}
	jump := time.Duration(0)
	c.now = func() time.Time { return time.Now().Add(jump) }
	for _, step := range []struct {
		what     string
		jump     time.Duration
		renew    string
		from, to time.Duration
		want     string
		log      string
	}{
		{what: "ten years ahead", jump: 10 * 365 * 24 * hour, want: "first", log: "ends soon"},
		{what: "a replacement that ended by that clock", jump: 10 * 365 * 24 * hour, renew: "second", from: -hour, to: hour, want: "first", log: "expired"},
		{what: "back: the file is good now", want: "second", log: "in use"},
		{what: "ten years back", jump: -10 * 365 * 24 * hour, want: "second"},
		{what: "a replacement of the future, by that clock", jump: -10 * 365 * 24 * hour, renew: "third", from: -hour, to: hour, want: "second", log: "not valid before"},
		{what: "and back", want: "third", log: "in use"},
	} {
		log.Reset()
		jump = step.jump
		if step.renew != "" {
			renew(step.renew, step.from, step.to)
		}
		c.reload()
		c.reload() // what is bad is news at the second look
		c.remind()
		if got := c.used.Load().Certificates[0].Leaf.Subject.CommonName; got != step.want {
			t.Errorf("%s: the certificate is %q, want %q", step.what, got, step.want)
		}
		if !strings.Contains(log.String(), step.log) {
			t.Errorf("%s: the log does not say %q:\n%s", step.what, step.log, log.String())
		}
	}
}

// A disk that is full leaves the beginning of a file, however much of it: none of
// that is taken, handshakes go on with the old pair, the log is not flooded, and
// what is written when there is room again is in use.
func TestADiskThatIsFullTakesNoCertificateAway(t *testing.T) {
	t.Parallel()
	now, dir := time.Now(), t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	put := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := selfSigned(t, "first", now.Add(-time.Hour), now.Add(24*time.Hour))
	second, secondKey := selfSigned(t, "second", now.Add(-time.Hour), now.Add(24*time.Hour))
	put(certFile, cert)
	put(keyFile, key)
	put(caFile, cert)
	var log bytes.Buffer
	srv := New(Config{TLS: TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: caFile, ClientAuth: ClientAuthRequest}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c, err := newCertificates(srv)
	if err != nil {
		t.Fatal(err)
	}
	cas := c.used.Load().ClientCAs
	shown := func() string {
		t.Helper()
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go func() { _ = tls.Server(ours, c.config()).Handshake() }()
		client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		return client.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	full := func(file string, old, next []byte) {
		t.Helper()
		for n := 0; n < len(next)-1; n += 7 { // the last byte is the end of a line
			put(file, next[:n])
			for range 3 {
				c.reload()
			}
			if used := c.used.Load(); used.Certificates[0].Leaf.Subject.CommonName != "first" || used.ClientCAs != cas {
				t.Fatalf("%d of %d bytes of %s are in use", n, len(next), filepath.Base(file))
			}
		}
		if name := shown(); name != "first" {
			t.Errorf("with a part of %s a handshake shows %q", filepath.Base(file), name)
		}
		put(file, old)
		c.reload()
	}
	full(certFile, cert, second)
	full(keyFile, key, secondKey)
	full(caFile, cert, second)
	steps := len(second)/7*2 + len(secondKey)/7 + 3
	if lines := strings.Count(log.String(), "\n"); lines < 3 || lines > steps { // each was looked at three times
		t.Errorf("%d lines of log about %d files", lines, steps)
	}
	put(certFile, second)
	put(keyFile, secondKey)
	c.reload()
	if name := shown(); name != "second" { // the control
		t.Errorf("when there is room again a handshake shows %q", name)
	}
}

// A rotation writes one file after the other: who looks in between has nothing to
// tell. What stays bad is told once, and when it is over.
func TestHalfARotationIsNoNews(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := selfSigned(t, "first", now.Add(-time.Hour), now.Add(time.Hour))
	next, nextKey := selfSigned(t, "next", now.Add(-time.Hour), now.Add(time.Hour))
	write(certFile, cert)
	write(keyFile, key)
	var log bytes.Buffer
	srv := New(Config{TLS: TLS{CertFile: certFile, KeyFile: keyFile}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c, err := newCertificates(srv)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what     string
		file     string
		data     []byte
		looks    int
		told     string // in one line, or nothing
		failures int64
	}{
		{"half a rotation", certFile, next, 1, "", 0},
		{"the other half", keyFile, nextKey, 1, "replacement in use", 0},
		{"half a rotation that stays", certFile, cert, 3, "replacement refused", 1},
		{"worse", certFile, []byte("junk"), 3, "no complete certificate", 2},
		{"back as it was", certFile, next, 2, "hold again what is in use", 2},
		{"half a rotation, later", certFile, cert, 1, "", 2},
		{"and back", certFile, next, 1, "", 2},
	} {
		log.Reset()
		write(step.file, step.data)
		for range step.looks {
			c.reload()
		}
		lines := strings.Count(log.String(), "\n")
		if !strings.Contains(log.String(), step.told) || (lines == 0) != (step.told == "") || lines > 1 {
			t.Errorf("%s: want one line of %q, got\n%s", step.what, step.told, log.String())
		}
		if got := srv.counters.reloadFailures.Load(); got != step.failures {
			t.Errorf("%s: %d failures, want %d", step.what, got, step.failures)
		}
	}
}

// Bytes that are no pair of certificate and key are refused, in words, and what
// is taken can be shown: its chain holds and its time is now.
func FuzzPair(f *testing.F) {
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	cert, key := selfSigned(f, "seed", now.Add(-time.Hour), now.Add(time.Hour))
	old, oldKey := selfSigned(f, "old", now.Add(-2*time.Hour), now.Add(-time.Hour))
	f.Add(cert, key)
	f.Add(old, oldKey)
	f.Add(cert, oldKey)
	f.Add(append(bytes.Clone(cert), old...), key)
	f.Add(append(bytes.Clone(cert), cert...), key)
	f.Add(append(bytes.Clone(cert), cert[:len(cert)/2]...), key) // a disk that is full
	f.Add(cert[:len(cert)/2], key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), key)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		pair, err := parsePair(cert, key, now, "CertPEM", "KeyPEM")
		if (pair == nil) == (err == nil) {
			t.Fatalf("%v, %v", pair, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "PEM") {
				t.Errorf("the refusal names no field: %v", err)
			}
			if strings.Contains(err.Error(), "PRIVATE KEY-----") {
				t.Errorf("the refusal shows a key: %v", err)
			}
			return
		}
		if pair.Leaf == nil || now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
			t.Errorf("taken: %v", pair.Leaf)
		}
		if pool, err := parsePool(cert, now, "ClientCAPEM"); (pool == nil) == (err == nil) {
			t.Fatalf("%v, %v", pool, err)
		}
	})
}

// Of a chain cut off at any byte the only parts that pass for whole are those that
// end with a whole certificate.
func TestATornChainIsRefusedWhereverItIsTorn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	first, _ := selfSigned(t, "first", now.Add(-time.Hour), now.Add(time.Hour))
	second, _ := selfSigned(t, "second", now.Add(-time.Hour), now.Add(time.Hour))
	chain := append(bytes.Clone(first), second...)
	for n := range len(chain) + 1 {
		certs, err := parseCertificates(chain[:n])
		want := 0
		switch n {
		case len(first) - 1, len(first): // the last newline is none of the certificate
			want = 1
		case len(chain) - 1, len(chain):
			want = 2
		}
		if len(certs) != want || (err == nil) != (want > 0) {
			t.Errorf("%d of %d bytes: %d certificates, %v; want %d", n, len(chain), len(certs), err, want)
		}
	}
	if certs, err := parseCertificates(append(bytes.Clone(chain), "\n# the end\n\n"...)); err != nil || len(certs) != 2 {
		t.Errorf("with a comment: %d certificates, %v", len(certs), err)
	}
}
