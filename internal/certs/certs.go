// Package certs makes certificates for tests: an authority, leaves for servers
// and clients, and every kind of bad leaf a TLS setting must refuse.
//
//	ca := certs.NewCA(t)
//	server := ca.Server(t)           // localhost, 127.0.0.1, ::1
//	files := server.Write(t, t.TempDir())
//	files.Rotate(t, ca.Server(t))    // replaced as a careful editor does
//
// A [CA] signs, a [Pair] is what it signed, [Files] is a pair on disk and a
// [Mount] is one in a directory laid out as Kubernetes lays out a secret.
//
// Keys are ECDSA P-256: a pair takes well under a millisecond. Nothing here is
// fit for anything but tests. Values are safe for concurrent use; the methods
// take a testing.TB and end the test when something fails.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// newKey makes a private key.
func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return key
}

// sign fills in a serial number and the validity, where the template has none,
// and signs the template with the parent's key.
func sign(t testing.TB, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatalf("make serial number: %v", err)
	}
	template.SerialNumber = serial
	template.BasicConstraintsValid = true
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatalf("sign certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parse certificate: %v", err)
	}
	return cert
}

func encodeCert(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func encodeKey(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
