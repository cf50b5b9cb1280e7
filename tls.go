package connectum

import (
	"cmp"
	"context"
	"crypto/tls"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
)

// TLS configures encryption. The zero value is plaintext. A certificate comes
// from files, or inline, or from Config.
type TLS struct {
	// CertFile and KeyFile are PEM files: the certificate followed by its
	// intermediates, each signed by the next, and the private key. They are
	// read again every ReloadInterval, so that a rotation (also by rename, or
	// by the symbolic links of Kubernetes) needs no restart. A replacement
	// that is torn, mismatched, expired or not yet valid is refused, logged,
	// and tried again; the old one stays. Connections in use live on.
	CertFile string
	KeyFile  string

	// ClientCAFile holds the authorities that client certificates are
	// verified against. It is read again as well.
	ClientCAFile string

	// CertPEM, KeyPEM and ClientCAPEM are the same inline, read once.
	CertPEM     []byte
	KeyPEM      []byte
	ClientCAPEM []byte

	// ClientAuth says whether clients must show a certificate.
	// The default is ClientAuthRequire when there are client CAs, and
	// ClientAuthNone otherwise.
	ClientAuth ClientAuth

	// ReloadInterval is how often the files are looked at. Negative means
	// never. The default is 1 s.
	ReloadInterval time.Duration

	// Config is cloned and completed with what the other fields say: the way
	// to set versions, curves or a GetCertificate of your own.
	// The default is TLS 1.2 and later with Go's choices.
	Config *tls.Config
}

// ClientAuth says what a server wants of client certificates.
type ClientAuth int

// What a server may want of client certificates.
const (
	ClientAuthDefault ClientAuth = iota // require if there are client CAs, else none
	ClientAuthNone                      // not asked for
	ClientAuthRequest                   // verified if shown
	ClientAuthRequire                   // verified, and refused without
)

func (t TLS) clone() TLS {
	t.CertPEM, t.KeyPEM, t.ClientCAPEM = slices.Clone(t.CertPEM), slices.Clone(t.KeyPEM), slices.Clone(t.ClientCAPEM)
	if t.Config != nil {
		t.Config = t.Config.Clone()
	}
	t.ReloadInterval = cmp.Or(t.ReloadInterval, time.Second)
	return t
}

// enabled reports whether anything of TLS is configured.
func (t *TLS) enabled() bool {
	return t.CertFile != "" || t.KeyFile != "" || t.ClientCAFile != "" ||
		len(t.CertPEM) > 0 || len(t.KeyPEM) > 0 || len(t.ClientCAPEM) > 0 ||
		t.ClientAuth != ClientAuthDefault || t.Config != nil
}

// PeerTLS returns the TLS connection that the call of ctx came over, with the
// certificate its client was verified by in PeerCertificates[0]. It reports
// false when no certificate of the client was verified, and without TLS. The
// state is shared by the calls of a connection and must not be changed.
func PeerTLS(ctx context.Context) (*tls.ConnectionState, bool) {
	var state *tls.ConnectionState
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		if t, ok := info.TransportInfo.(interface{ TLS() *tls.ConnectionState }); ok {
			state = t.TLS()
		}
	} else if c := callOf(ctx); c != nil {
		state = c.tls
	}
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil, false
	}
	return state, true
}
