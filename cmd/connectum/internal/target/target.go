// Package target says which server a command talks to, and how: its address,
// TLS, headers and the protocol.
package target

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
)

// Options are what the flags of every command that talks to a server say.
type Options struct {
	// TLS asks for TLS where the address does not; any of the other settings of
	// TLS does too.
	TLS bool
	// CACert is a PEM file of the authorities to trust. The default is those of
	// the system.
	CACert string
	// Cert and Key are PEM files of the certificate to show. The default is none.
	Cert, Key string
	// Insecure trusts any certificate.
	Insecure bool
	// ServerName is the name that the certificate must have.
	// The default is the host of the address.
	ServerName string
	// Headers are sent with every call, as "Name: value".
	Headers []string
}

// The protocols of a call.
const (
	Connect = "connect"
	GRPC    = "grpc"
	GRPCWeb = "grpcweb"
)

// Protocols are the names of the protocols, for flags.
func Protocols() []string { return []string{Connect, GRPC, GRPCWeb} }

// Version is one of HTTP.
type Version int

// The versions. Auto is what the protocol needs: HTTP/2 for gRPC and for
// streams both ways, else whatever the server offers over TLS, and HTTP/1.1
// without it.
const (
	Auto Version = iota
	HTTP1
	HTTP2
)

const (
	// dialTimeout bounds the way to a connection: TCP, and TLS again.
	dialTimeout = 10 * time.Second
	// MaxReceiveBytes bounds one message of a server, which may be anybody's.
	MaxReceiveBytes = 64 << 20
)

// Target is a server to talk to. It is safe for concurrent use.
type Target struct {
	Address
	// Trust is the configuration of TLS, or nil for plaintext.
	Trust *tls.Config
	// Headers are sent with every call.
	Headers []Header
}

// New reads the address and the options. Every error is one of usage, or of a
// file that can't be read.
func New(address string, o Options) (*Target, error) {
	secure := o.TLS || o.Insecure || o.CACert != "" || o.Cert != "" || o.Key != "" || o.ServerName != ""
	a, err := ParseAddress(address, secure)
	if err != nil {
		return nil, err
	}
	t := &Target{Address: a}
	for _, text := range o.Headers {
		h, err := ParseHeader(text)
		if err != nil {
			return nil, err
		}
		t.Headers = append(t.Headers, h)
	}
	if a.URL.Scheme == "https" {
		if t.Trust, err = trust(o); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Dial opens a connection, without TLS.
func (t *Target) Dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, t.Network(), t.HostPort())
}

// Transport returns what carries the version of HTTP. Its connections are its own.
func (t *Target) Transport(v Version) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP1(v != HTTP2)
	p.SetHTTP2(v != HTTP1)
	p.SetUnencryptedHTTP2(v == HTTP2)
	return &http.Transport{
		Protocols: p, TLSClientConfig: t.Trust.Clone(), TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: v != HTTP1,
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return t.Dial(ctx) },
		MaxIdleConnsPerHost: 1000,
	}
}

// HTTP returns a client that speaks the version of HTTP. It follows no
// redirects: an answer is the answer.
func (t *Target) HTTP(v Version) *http.Client { return client(t.Transport(v)) }

func client(transport *http.Transport) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Client returns a client for calls, and a function that closes its
// connections.
func (t *Target) Client(protocol string, v Version, options ...connecthttp.Option) (*connect.Client, func(), error) {
	if protocol == GRPC {
		if v == HTTP1 {
			return nil, nil, errors.New("gRPC needs HTTP/2")
		}
		v = HTTP2
	}
	return t.Over(t.Transport(v), protocol, options...)
}

// Over is Client by a transport of [Target.Transport].
func (t *Target) Over(transport *http.Transport, protocol string, options ...connecthttp.Option) (*connect.Client, func(), error) {
	options = append([]connecthttp.Option{connecthttp.WithReadMaxBytes(MaxReceiveBytes)}, options...)
	switch protocol {
	case Connect:
	case GRPC:
		options = append(options, connecthttp.WithGRPC())
	case GRPCWeb:
		options = append(options, connecthttp.WithGRPCWeb())
	default:
		return nil, nil, fmt.Errorf("no protocol is called %q: one of connect, grpc and grpcweb", protocol)
	}
	return connect.NewClient(connecthttp.NewTransport(client(transport), t.URL.String(), options...), t.sendHeaders), transport.CloseIdleConnections, nil
}

// sendHeaders is a client interceptor.
func (t *Target) sendHeaders(next connect.ClientFunc) connect.ClientFunc {
	if len(t.Headers) == 0 {
		return next
	}
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		if info, ok := connect.CallInfoForClientContext(ctx); ok {
			for _, h := range t.Headers {
				if !slices.Contains(info.RequestHeader().Values(h.Name), h.Value) {
					info.RequestHeader().Add(h.Name, h.Value)
				}
			}
		}
		return next(ctx, spec)
	}
}
