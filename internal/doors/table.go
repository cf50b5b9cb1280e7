package doors

import (
	"context"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
)

// Doors returns every door of the server: in-process, and each protocol over
// each version of HTTP that carries it.
func (r *Run) Doors() []Door {
	doors := []Door{InProcess()}
	add := func(name string, c *http.Client, base url, opts ...connecthttp.Option) {
		doors = append(doors, Door{Name: name, HalfDuplex: !isHTTP2(c), Open: func(context.Context, *connectum.Server) (connect.Transport, error) {
			return connecthttp.NewTransport(c, base, opts...), nil
		}})
	}
	h2, base, version := r.TLS(), r.secure, "tls"
	if r.plain != "" {
		h2, base, version = r.HTTP2(), r.plain, "h2c"
	}
	h1 := r.HTTP1()
	add("connect json http1", h1, base, connecthttp.WithProtoJSON())
	add("connect proto http1", h1, base)
	add("connect proto "+version, h2, base)
	add("grpcweb http1", h1, base, connecthttp.WithGRPCWeb())
	add("grpcweb "+version, h2, base, connecthttp.WithGRPCWeb())
	add("grpc "+version, h2, base, connecthttp.WithGRPC())
	if r.plain != "" {
		add("connect proto tls", r.TLS(), r.secure)
		add("grpc tls", r.TLS(), r.secure, connecthttp.WithGRPC())
	}
	return doors
}

// URL returns where the server is, without a trailing slash: "http://..." for a
// plaintext server, "https://..." for one that ends TLS itself.
func (r *Run) URL() string {
	if r.plain == "" {
		return r.secure
	}
	return r.plain
}

// TLSURL returns where the server is for TLS clients.
func (r *Run) TLSURL() string { return r.secure }

// HTTP1 returns a client that speaks HTTP/1.1 to URL.
func (r *Run) HTTP1() *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return r.client(p)
}

// HTTP2 returns a client that speaks HTTP/2 to URL, without TLS to a plaintext
// server.
func (r *Run) HTTP2() *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return r.client(p)
}

// TLS returns a client that speaks HTTP/2 over TLS to TLSURL.
func (r *Run) TLS() *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	return r.client(p)
}

// client returns a client with connections of its own.
func (r *Run) client(p *http.Protocols) *http.Client {
	tr := &http.Transport{Protocols: p, TLSClientConfig: r.trust.Clone(), DialContext: r.dial, MaxIdleConnsPerHost: 100}
	r.mu.Lock()
	r.transports = append(r.transports, tr)
	r.mu.Unlock()
	return &http.Client{Transport: tr}
}

func isHTTP2(c *http.Client) bool {
	return !c.Transport.(*http.Transport).Protocols.HTTP1()
}
