package connectumtest

import (
	"crypto/tls"
	"path/filepath"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
)

// Certificates is an authority of a test's own and what it signed, in memory
// and in files that go with the test. Servers' certificates are for localhost,
// 127.0.0.1 and ::1.
type Certificates struct {
	CAPEM  []byte
	CAFile string

	Server    Certificate // good
	Expired   Certificate // a server's that ended an hour ago
	WrongName Certificate // a server's for elsewhere.test
	Client    Certificate // a client's, whose common name is "client"

	ca certs.CA
}

// Certificate is a certificate and its key.
type Certificate struct {
	CertPEM, KeyPEM   []byte
	CertFile, KeyFile string
	TLS               tls.Certificate
}

// Certs makes certificates for one test. Two calls never make the same ones.
func Certs(t testing.TB) *Certificates {
	t.Helper()
	ca := certs.NewCA(t)
	c := &Certificates{CAPEM: ca.PEM, CAFile: filepath.Join(t.TempDir(), "ca.crt"), ca: ca}
	certs.Replace(t, c.CAFile, ca.PEM, 0o644)
	c.Server = store(t, ca.Server(t))
	c.Expired = store(t, ca.Expired(t))
	c.WrongName = store(t, ca.WrongName(t))
	c.Client = store(t, ca.Client(t, "client"))
	return c
}

// ClientNamed makes a further client certificate, with that common name.
func (c *Certificates) ClientNamed(t testing.TB, name string) Certificate {
	t.Helper()
	return store(t, c.ca.Client(t, name))
}

// Rotate replaces the files of Server by those of a new certificate, which is
// returned, each by renaming a new file over it.
func (c *Certificates) Rotate(t testing.TB) Certificate {
	t.Helper()
	pair := c.ca.Server(t)
	files := certs.Files{Cert: c.Server.CertFile, Key: c.Server.KeyFile}
	files.Rotate(t, pair)
	return certificate(pair, files)
}

// ServerTLS returns a server's settings: Server, and no client certificates.
func (c *Certificates) ServerTLS() connectum.TLS {
	return connectum.TLS{CertFile: c.Server.CertFile, KeyFile: c.Server.KeyFile}
}

// MutualTLS returns a server's settings: Server, and clients must show a
// certificate that the authority signed.
func (c *Certificates) MutualTLS() connectum.TLS {
	s := c.ServerTLS()
	s.ClientCAFile = c.CAFile
	return s
}

// Trust returns a client's settings, for [WithTLS]: it trusts the authority,
// and shows the given certificates to servers that ask.
func (c *Certificates) Trust(shown ...Certificate) *tls.Config {
	config := &tls.Config{RootCAs: c.ca.Pool()}
	for _, one := range shown {
		config.Certificates = append(config.Certificates, one.TLS)
	}
	return config
}

func store(t testing.TB, p certs.Pair) Certificate {
	t.Helper()
	return certificate(p, p.Write(t, t.TempDir()))
}

func certificate(p certs.Pair, f certs.Files) Certificate {
	return Certificate{CertPEM: p.CertPEM, KeyPEM: p.KeyPEM, CertFile: f.Cert, KeyFile: f.Key, TLS: p.TLS}
}
