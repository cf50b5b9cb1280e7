package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
)

// Pair is a certificate and its key.
type Pair struct {
	// Leaf is the certificate itself.
	Leaf *x509.Certificate
	// CertPEM is the leaf and then the intermediates; KeyPEM is the key in PKCS #8.
	CertPEM, KeyPEM []byte
	// TLS is the pair as crypto/tls takes it.
	TLS tls.Certificate
}

// Write stores the pair as tls.crt and tls.key in dir, the key for the owner alone.
func (p Pair) Write(t testing.TB, dir string) Files {
	t.Helper()
	f := Files{Cert: filepath.Join(dir, certName), Key: filepath.Join(dir, keyName)}
	f.Rotate(t, p)
	return f
}

// WithKey returns p with the key of other: a pair that does not match.
func (p Pair) WithKey(other Pair) Pair {
	return Pair{Leaf: p.Leaf, CertPEM: p.CertPEM, KeyPEM: other.KeyPEM}
}

func newPair(t testing.TB, leaf *x509.Certificate, key *ecdsa.PrivateKey, chain []byte) Pair {
	t.Helper()
	p := Pair{Leaf: leaf, CertPEM: append(encodeCert(leaf), chain...), KeyPEM: encodeKey(t, key)}
	cert, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
	if err != nil {
		t.Fatalf("load pair: %v", err)
	}
	p.TLS = cert
	return p
}
