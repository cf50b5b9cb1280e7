package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
	"time"
)

// CA is an authority: a root that signs itself, or an intermediate.
type CA struct {
	// Cert is the authority's own certificate.
	Cert *x509.Certificate
	// PEM is Cert, ready for a client CA file or a root pool.
	PEM []byte

	key   *ecdsa.PrivateKey
	chain []byte // PEM of the intermediates down from the root, nearest first; a root has none
}

// Leaf says what to sign. The zero value is a certificate for nobody, valid
// from an hour ago until tomorrow.
type Leaf struct {
	// CommonName is the subject's name. The default is none.
	CommonName string
	// Hosts are the DNS names and IP addresses it is good for.
	Hosts []string
	// NotBefore and NotAfter bound its life. The default is an hour ago and a
	// day ahead.
	NotBefore, NotAfter time.Time
	// Client makes it good for clients only. The default is servers only.
	Client bool
}

// NewCA makes a root authority. Two calls never make the same one.
func NewCA(t testing.TB) CA {
	t.Helper()
	key := newKey(t)
	template := authority("Test Root")
	cert := sign(t, template, template, key, key)
	return CA{Cert: cert, PEM: encodeCert(cert), key: key}
}

// Intermediate makes an authority that ca signs. The pairs it signs carry the
// intermediate after the leaf, so that whoever trusts only the root accepts them.
func (ca CA) Intermediate(t testing.TB) CA {
	t.Helper()
	key := newKey(t)
	cert := sign(t, authority("Test Intermediate"), ca.Cert, key, ca.key)
	encoded := encodeCert(cert)
	return CA{Cert: cert, PEM: encoded, key: key, chain: append(encoded[:len(encoded):len(encoded)], ca.chain...)}
}

// Pool returns a pool that trusts ca alone.
func (ca CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Sign makes the pair that leaf describes.
func (ca CA) Sign(t testing.TB, leaf Leaf) Pair {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.CommonName},
		NotBefore:   leaf.NotBefore,
		NotAfter:    leaf.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if leaf.Client {
		template.ExtKeyUsage[0] = x509.ExtKeyUsageClientAuth
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key := newKey(t)
	cert := sign(t, template, ca.Cert, key, ca.key)
	return newPair(t, cert, key, ca.chain)
}

// Server makes a good pair for localhost, 127.0.0.1 and ::1.
func (ca CA) Server(t testing.TB) Pair {
	t.Helper()
	return ca.Sign(t, Leaf{CommonName: "localhost", Hosts: localhost()})
}

// Client makes a good pair for a client of that name.
func (ca CA) Client(t testing.TB, name string) Pair {
	t.Helper()
	return ca.Sign(t, Leaf{CommonName: name, Client: true})
}

// Expired makes a server's pair that ended an hour ago.
func (ca CA) Expired(t testing.TB) Pair {
	t.Helper()
	now := time.Now()
	return ca.Sign(t, Leaf{CommonName: "localhost", Hosts: localhost(), NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)})
}

// NotYetValid makes a server's pair that begins in an hour.
func (ca CA) NotYetValid(t testing.TB) Pair {
	t.Helper()
	now := time.Now()
	return ca.Sign(t, Leaf{CommonName: "localhost", Hosts: localhost(), NotBefore: now.Add(time.Hour), NotAfter: now.Add(48 * time.Hour)})
}

// WrongName makes a server's pair that is good for another host.
func (ca CA) WrongName(t testing.TB) Pair {
	t.Helper()
	return ca.Sign(t, Leaf{CommonName: "elsewhere.test", Hosts: []string{"elsewhere.test"}})
}

func localhost() []string { return []string{"localhost", "127.0.0.1", "::1"} }

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true,
	}
}
