package doctor

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"
)

// The lives that certificates should have left. Let's Encrypt renews at 30 days;
// who is below has a renewal that does not work.
const (
	soon = 30 * 24 * time.Hour
	now  = 7 * 24 * time.Hour
)

var certificateChecks = []Check{{
	Name: "certificate-expiry", Severity: Error, Finds: "a certificate that is about to expire",
	Reason:  "From that second on every client refuses the connection.",
	Cure:    "Renew it, and find out why nobody has: renewal belongs to a machine. The server reads new files by itself.",
	project: certificateExpiry,
}}

func certificateExpiry(p *Project) []hit {
	certs := p.certs
	for _, o := range p.objects {
		if value(o.node, "kind") != "Secret" {
			continue
		}
		where := fmt.Sprintf("%s:%d", o.file, plain(o.node).Line)
		var inside Project
		for _, v := range entries(o.node, "data") {
			if text, err := base64.StdEncoding.DecodeString(v.Value); err == nil {
				inside.addPEM(where, text)
			}
		}
		for _, v := range entries(o.node, "stringData") {
			inside.addPEM(where, []byte(v.Value))
		}
		certs = append(certs, inside.certs...)
	}
	var out []hit
	for _, c := range certs {
		if h := expiry(c.cert, p.Now); h != nil {
			h.where = c.where
			out = append(out, *h)
		}
	}
	return out
}

// expiry judges a certificate, or returns nil when it has long to live.
func expiry(cert *x509.Certificate, at time.Time) *hit {
	name := cert.Subject.CommonName
	if len(cert.DNSNames) > 0 {
		name = cert.DNSNames[0]
	}
	left := cert.NotAfter.Sub(at)
	day := cert.NotAfter.UTC().Format(time.DateOnly)
	switch whole := cert.NotAfter.Sub(cert.NotBefore); {
	case left <= 0:
		return &hit{problem: fmt.Sprintf("the certificate of %s has expired on %s", name, day)}
	case left < now && whole > 2*now: // those that live for days are renewed in time by design
		return &hit{problem: fmt.Sprintf("the certificate of %s expires on %s", name, day)}
	case left < soon && whole > 2*soon:
		return &hit{problem: fmt.Sprintf("the certificate of %s expires on %s", name, day), severity: Warning}
	}
	return nil
}
