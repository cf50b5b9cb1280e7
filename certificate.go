package connectum

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// certificates is what the server shows and trusts now, and where it comes from.
type certificates struct {
	server *Server
	given  TLS
	base   *tls.Config
	now    func() time.Time
	used   atomic.Pointer[tls.Config] // what handshakes use: prebuilt for each change

	pair     source[*tls.Certificate]
	cas      source[*x509.CertPool]
	reminded *x509.Certificate // whose end has been told of
	done     chan struct{}     // closed when nothing follows them any more
}

// source is one thing that is read from files or given inline.
type source[T any] struct {
	read    func() ([][]byte, error)
	parse   func([][]byte, time.Time) (T, error)
	value   T
	have    bool
	raw     []byte // what value was made of
	refused refusal
}

// refusal is what is known of a replacement that is bad. Files are written one
// after the other, so it is news when it is bad at two looks in a row.
type refusal struct {
	looks  int
	logged string
}

// load reads the source and reports whether it has a new value.
func (s *source[T]) load(now time.Time) (bool, error) {
	raw, err := s.read()
	if err != nil {
		return false, err
	}
	joined := bytes.Join(raw, []byte{0})
	if s.have && bytes.Equal(joined, s.raw) {
		return false, nil
	}
	v, err := s.parse(raw, now)
	if err != nil {
		return false, err
	}
	s.value, s.raw, s.have = v, joined, true
	return true, nil
}

// newCertificates reads what cfg names. It returns nil when TLS is off.
func newCertificates(s *Server) (*certificates, error) {
	t := s.given.TLS
	if !t.enabled() {
		return nil, nil
	}
	c := &certificates{server: s, given: t, now: time.Now, base: &tls.Config{MinVersion: tls.VersionTLS12}}
	if t.Config != nil {
		c.base = t.Config.Clone()
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("connectum: Config.TLS."+format, args...))
	}

	certName, keyName := c.choose("Cert", t.CertFile, t.CertPEM, fault), c.choose("Key", t.KeyFile, t.KeyPEM, fault)
	switch {
	case certName == "" && keyName != "":
		fault("%s is set without a certificate: set CertFile or CertPEM", keyName)
	case keyName == "" && certName != "":
		fault("%s is set without a key: set KeyFile or KeyPEM", certName)
	case certName == "" && len(c.base.Certificates) == 0 && c.base.GetCertificate == nil && c.base.GetConfigForClient == nil:
		fault("CertFile is not set: TLS needs a certificate")
	}
	if certName != "" && keyName != "" {
		c.pair.read = func() ([][]byte, error) {
			cert, err := readPEM(t.CertFile, t.CertPEM)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", certName, err)
			}
			key, err := readPEM(t.KeyFile, t.KeyPEM)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", keyName, err)
			}
			return [][]byte{cert, key}, nil
		}
		c.pair.parse = func(raw [][]byte, now time.Time) (*tls.Certificate, error) {
			return parsePair(raw[0], raw[1], now, certName, keyName)
		}
		if _, err := c.pair.load(c.now()); err != nil {
			fault("%w", err)
		}
	}

	caName := c.choose("ClientCA", t.ClientCAFile, t.ClientCAPEM, fault)
	switch auth := t.ClientAuth; {
	case auth < ClientAuthDefault || auth > ClientAuthRequire:
		fault("ClientAuth is %d, which is none of ClientAuthNone, ClientAuthRequest and ClientAuthRequire", auth)
	case auth == ClientAuthNone && caName != "":
		fault("ClientAuth is ClientAuthNone, but %s is set", caName)
	case (auth == ClientAuthRequest || auth == ClientAuthRequire) && caName == "" && c.base.ClientCAs == nil:
		fault("ClientAuth wants client certificates: set ClientCAFile or ClientCAPEM")
	}
	if caName != "" {
		c.cas.read = func() ([][]byte, error) {
			raw, err := readPEM(t.ClientCAFile, t.ClientCAPEM)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", caName, err)
			}
			return [][]byte{raw}, nil
		}
		c.cas.parse = func(raw [][]byte, now time.Time) (*x509.CertPool, error) { return parsePool(raw[0], now, caName) }
		if _, err := c.cas.load(c.now()); err != nil {
			fault("%w", err)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	c.build()
	return c, nil
}

// choose tells which of a file and inline PEM is set, by the name to use in
// messages, and that both can't be.
func (c *certificates) choose(field, file string, inline []byte, fault func(string, ...any)) string {
	switch {
	case file != "" && len(inline) > 0:
		fault("%sFile and %sPEM are both set: set one", field, field)
		return field + "File"
	case file != "":
		return field + "File " + file
	case len(inline) > 0:
		return field + "PEM"
	}
	return ""
}

// build makes the configuration that handshakes use from now on.
func (c *certificates) build() {
	cfg := c.base.Clone()
	cfg.GetConfigForClient = nil
	cfg.NextProtos = []string{"h2", "http/1.1"}
	if c.pair.have {
		cfg.Certificates = []tls.Certificate{*c.pair.value}
		cfg.GetCertificate = nil
	}
	if c.cas.have {
		cfg.ClientCAs = c.cas.value
	}
	switch c.given.ClientAuth {
	case ClientAuthNone:
		cfg.ClientAuth = tls.NoClientCert
	case ClientAuthRequest:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientAuthRequire:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	case ClientAuthDefault:
		if c.cas.have {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	c.used.Store(cfg)
}

// config returns what the listener uses: each handshake takes the newest.
func (c *certificates) config() *tls.Config {
	cfg := c.used.Load().Clone()
	theirs := c.base.GetConfigForClient
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if theirs == nil {
			return c.used.Load(), nil
		}
		own, err := theirs(hello)
		if own == nil && err == nil {
			return c.used.Load(), nil
		}
		if own != nil && len(own.NextProtos) == 0 { // or HTTP/2 is silently off
			own = own.Clone()
			own.NextProtos = cfg.NextProtos
		}
		return own, err
	}
	return cfg
}

// notAfter returns when the certificate in use expires.
func (c *certificates) notAfter() (time.Time, bool) {
	certs := c.used.Load().Certificates
	if len(certs) == 0 || certs[0].Leaf == nil {
		return time.Time{}, false
	}
	return certs[0].Leaf.NotAfter, true
}

// follow reads the files again until ctx ends, and reminds of the end of what is
// in use.
func (c *certificates) follow(ctx context.Context) {
	files := c.given.CertFile != "" || c.given.KeyFile != "" || c.given.ClientCAFile != ""
	every := c.given.ReloadInterval
	if !files || every < 0 {
		files, every = false, time.Minute
	}
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			c.remind()
			select {
			case <-ticker.C:
				if files {
					c.reload()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

// remind warns, once for each certificate, when little of its life is left: 30 %,
// since those who renew by themselves (cert-manager) do so at a third.
func (c *certificates) remind() {
	certs := c.used.Load().Certificates
	if len(certs) == 0 || certs[0].Leaf == nil || certs[0].Leaf == c.reminded {
		return
	}
	leaf := certs[0].Leaf
	if left := leaf.NotAfter.Sub(c.now()); left < leaf.NotAfter.Sub(leaf.NotBefore)*3/10 {
		c.reminded = leaf
		c.server.log().Warn("TLS: the certificate ends soon and has not been renewed",
			"subject", leaf.Subject.String(), "not_after", leaf.NotAfter, "left", left.Round(time.Second))
	}
}

func (c *certificates) reload() {
	changed := false
	if c.pair.have {
		ok, err := c.pair.load(c.now())
		c.tell("certificate", &c.pair.refused, ok, err)
		changed = changed || ok
	}
	if c.cas.have {
		ok, err := c.cas.load(c.now())
		c.tell("client CAs", &c.cas.refused, ok, err)
		changed = changed || ok
	}
	if changed {
		c.build()
	}
}

// tell logs a change once.
func (c *certificates) tell(what string, r *refusal, ok bool, err error) {
	log := c.server.log()
	if err != nil {
		if r.looks++; r.looks > 1 && r.logged != err.Error() {
			r.logged = err.Error()
			c.server.counters.reloadFailures.Add(1)
			log.Error("TLS: replacement refused, the old one stays", "what", what, "error", err)
		}
		return
	}
	was := *r
	*r = refusal{}
	switch {
	case ok:
		c.server.counters.reloads.Add(1)
		attrs := []any{"what", what}
		if end, has := c.pairEnd(); what == "certificate" && has {
			attrs = append(attrs, "not_after", end)
		}
		log.Info("TLS: replacement in use", attrs...)
	case was.logged != "":
		log.Info("TLS: the files hold again what is in use", "what", what)
	}
}

func (c *certificates) pairEnd() (time.Time, bool) {
	if c.pair.have && c.pair.value.Leaf != nil {
		return c.pair.value.Leaf.NotAfter, true
	}
	return time.Time{}, false
}

func readPEM(file string, inline []byte) ([]byte, error) {
	if file == "" {
		return inline, nil
	}
	return os.ReadFile(file)
}

// parsePair reads a certificate with its chain and its key, and is stricter
// than [tls.X509KeyPair], which takes a torn chain and expired certificates.
func parsePair(certPEM, keyPEM []byte, now time.Time, certName, keyName string) (*tls.Certificate, error) {
	chain, err := parseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certName, err)
	}
	for i := range chain[:len(chain)-1] {
		if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
			return nil, fmt.Errorf("%s: certificate %d (%s) is not signed by the next (%s): %w",
				certName, i+1, chain[i].Subject, chain[i+1].Subject, err)
		}
	}
	if err := checkTime(chain[0], now); err != nil {
		return nil, fmt.Errorf("%s: %w", certName, err)
	}
	if block, _ := pem.Decode(keyPEM); block == nil {
		return nil, fmt.Errorf("%s: no complete PEM block", keyName)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s does not fit %s: %w", keyName, certName, err)
	}
	pair.Leaf = chain[0]
	return &pair, nil
}

// parsePool reads the authorities that clients are verified against.
func parsePool(raw []byte, now time.Time, name string) (*x509.CertPool, error) {
	certs, err := parseCertificates(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	pool := x509.NewCertPool()
	valid := 0
	for _, cert := range certs {
		pool.AddCert(cert)
		if checkTime(cert, now) == nil {
			valid++
		}
	}
	if valid == 0 {
		return nil, fmt.Errorf("%s: %w", name, checkTime(certs[0], now))
	}
	return pool, nil
}

// parseCertificates reads PEM to its very end: a torn last block is an error.
func parseCertificates(raw []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	blocks, rest := 0, raw
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks++
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(out)+1, err)
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, errors.New("no complete certificate in PEM")
	}
	if begun := bytes.Count(raw, []byte("-----BEGIN ")); begun != blocks {
		return nil, fmt.Errorf("%d of %d PEM blocks are torn", begun-blocks, begun)
	}
	if last := rest[bytes.LastIndexByte(rest, '\n')+1:]; len(last) > 0 && bytes.HasPrefix([]byte("-----BEGIN "), last) {
		return nil, errors.New("a PEM block is torn in its first line")
	}
	return out, nil
}

func checkTime(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("certificate %s expired at %s", cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("certificate %s is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
