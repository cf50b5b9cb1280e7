package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Explain says what is wrong when a call has failed without the server's own
// verdict, with the exit code of its class. Verdicts of the server come back as
// they are, with that of an RPC error.
func (t *Target) Explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if verdict, ok := errors.AsType[*connect.Error](err); ok && verdict.IsRemote() {
		if verdict.Code() == connect.CodeDeadlineExceeded && late(ctx) {
			return exit.With(exit.Unreachable, t.late())
		}
		return exit.With(exit.RPC, err)
	} else if ok && verdict.Unwrap() == nil && !late(ctx) {
		// The answer came, and is none of the protocol: a proxy's, or a website's.
		return exit.With(exit.RPC, fmt.Errorf("%s does not answer as an RPC server: %w", t.Address, err))
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted")
	}
	if late(ctx) || errors.Is(err, context.DeadlineExceeded) {
		return exit.With(exit.Unreachable, t.late())
	}
	return exit.With(exit.Unreachable, t.unreachable(ctx, err))
}

// late reports whether the deadline has passed, or as good as: a server that
// knows it may answer a little earlier.
func late(ctx context.Context) bool {
	at, has := ctx.Deadline()
	return has && time.Until(at) < 20*time.Millisecond
}

func (t *Target) late() error {
	return fmt.Errorf("%s has not answered in time: --timeout gives it more", t.Address)
}

// unreachable puts what libraries say of a connection into what one can do
// about it.
func (t *Target) unreachable(ctx context.Context, err error) error {
	plain := t.Trust == nil
	authority, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	name, wrongName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	var dns *net.DNSError
	switch {
	case unknown && authority.Cert != nil:
		return fmt.Errorf("the certificate of %s is signed by %q, which is not trusted: --cacert FILE trusts its authority, --insecure anybody", t.Address, authority.Cert.Issuer)
	case wrongName:
		return fmt.Errorf("the certificate of %s is for others (%s): --server-name gives the name to expect", t.Address, strings.TrimPrefix(name.Error(), "x509: "))
	case isInvalid && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s was valid from %s to %s", t.Address, invalid.Cert.NotBefore.UTC().Format(time.DateTime), invalid.Cert.NotAfter.UTC().Format(time.DateTime))
	case errors.As(err, &dns):
		return fmt.Errorf("no host is called %s: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens on %s: connection refused", t.HostPort())
	case errors.Is(err, os.ErrNotExist) && t.Socket != "":
		return fmt.Errorf("there is no socket %s", t.Socket)
	case wantsCertificate(err), !plain && wantsCertificate(t.shakeHands(ctx)):
		return fmt.Errorf("%s wants a certificate that it trusts: --cert FILE --key FILE", t.Address)
	case plain && t.speaksTLS(ctx):
		return fmt.Errorf("%s speaks TLS: add --tls", t.Address)
	case !plain && t.speaksPlaintext(ctx):
		return fmt.Errorf("%s speaks plaintext: leave out --tls", t.Address)
	case plain && t.speaksPlaintext(ctx):
		return fmt.Errorf("talk to %s: %w (it speaks HTTP/1.1, and gRPC, reflection and streams both ways need HTTP/2)", t.Address, root(err))
	}
	return fmt.Errorf("talk to %s: %w", t.Address, root(err))
}

// wantsCertificate reports whether err is the alert of a server that is not
// content with our certificate, or the lack of it.
func wantsCertificate(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "tls: certificate required") || strings.Contains(err.Error(), "tls: bad certificate"))
}

// shakeHands returns what a server says after a handshake. With TLS 1.3 it
// judges our certificate only then, and a call may fail before it has read that.
func (t *Target) shakeHands(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	conn, err := t.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	config := t.Trust.Clone()
	if config.ServerName == "" {
		config.ServerName = t.URL.Hostname()
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	if at, ok := ctx.Deadline(); ok {
		_ = secure.SetReadDeadline(at) // a connection that is gone says so below
	}
	_, err = secure.Read(make([]byte, 1))
	return err
}

// speaksTLS asks: a handshake that gets an answer is proof.
func (t *Target) speaksTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	conn, err := t.Dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // nothing is sent over it
	err = secure.HandshakeContext(ctx)
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}

func (t *Target) speaksPlaintext(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	plain := &Target{Address: t.Address}
	u := *t.URL
	u.Scheme = "http"
	plain.URL = &u
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "443")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
	if err != nil {
		return false
	}
	client := plain.HTTP(HTTP1)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode != http.StatusBadRequest // which Go's TLS servers say
}

// root returns the innermost error that still says something.
func root(err error) error {
	for {
		if e, ok := errors.AsType[*connect.Error](err); ok && e.Unwrap() != nil {
			err = e.Unwrap()
			continue
		}
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		if _, isNumber := next.(syscall.Errno); isNumber { //nolint:errorlint // next itself, not what it wraps
			return err
		}
		err = next
	}
}
