// Package clients is the traffic of the proofs: every kind of client that calls
// TestService, each of which checks the whole of every answer. None retries.
//
// What a call asks for takes Work on the server and is told to it in the
// request, so that calls are in flight when something happens to it.
package clients

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

// Target is a server to call.
type Target struct {
	// Addr is its host and port.
	Addr string
	// TLS is nil for plaintext.
	TLS *tls.Config
	// Work is how long the server takes for a unary call, and for all
	// messages of a stream together.
	Work time.Duration
}

// Client is one kind of client, with a connection or a pool of its own.
type Client struct {
	// Name tells the protocol, the codec, the HTTP version and the kind of
	// call.
	Name string
	// Call makes one call. Its error is nil only if the answer was complete
	// and right. It is safe for concurrent use.
	Call func(ctx context.Context) error
	// Hold opens a stream of responses on which the server says one message
	// and then nothing. It is nil for clients of other kinds.
	Hold func(ctx context.Context, how string) (Held, error)
	// Close closes the connections.
	Close func()
}

// Held is the reading side of a stream of responses.
type Held interface {
	// Next returns the text of the next message, io.EOF at the end.
	Next() (string, error)
}

// All returns every kind of client for target.
func All(target Target) ([]Client, error) {
	var all []Client
	for _, k := range []struct {
		name  string
		two   bool
		fresh bool // a connection for each call
		opts  []connecthttp.Option
		calls []string
	}{
		{"connect json h1", false, false, []connecthttp.Option{connecthttp.WithProtoJSON()}, []string{unary, serverStream}},
		{"connect json h1, a connection a call", false, true, []connecthttp.Option{connecthttp.WithProtoJSON()}, []string{unary}},
		{"connect json h2", true, false, []connecthttp.Option{connecthttp.WithProtoJSON()}, []string{unary}},
		{"connect proto h1", false, false, nil, []string{unary, clientStream, serverStream}},
		{"connect proto h2", true, false, nil, []string{unary, clientStream, serverStream, bidiStream}},
		{"grpc-web h1", false, false, []connecthttp.Option{connecthttp.WithGRPCWeb()}, []string{unary, serverStream}},
		{"grpc-web h2", true, false, []connecthttp.Option{connecthttp.WithGRPCWeb()}, []string{unary, serverStream}},
		{"grpc by connect", true, false, []connecthttp.Option{connecthttp.WithGRPC()}, []string{unary, clientStream, serverStream, bidiStream}},
	} {
		for _, call := range k.calls {
			transport := newTransport(target, k.two)
			transport.DisableKeepAlives = k.fresh
			client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: unsent{transport}}, target.url(), k.opts...))
			c := overConnect(testv1connect.NewTestServiceClient(client), call, target.Work)
			c.Name, c.Close = k.name+" "+call, transport.CloseIdleConnections
			all = append(all, c)
		}
	}
	for _, call := range []string{unary, clientStream, serverStream, bidiStream} {
		conn, err := dialGRPC(target)
		if err != nil {
			return nil, err
		}
		c := overGRPC(grpcclient.Client{Conn: conn}, call, target.Work)
		c.Name, c.Close = "grpc-go "+call, func() { _ = conn.Close() }
		all = append(all, c)
	}
	for _, two := range []bool{false, true} {
		transport := newTransport(target, two)
		all = append(all, Client{
			Name:  fmt.Sprintf("plain http h%d", map[bool]int{false: 1, true: 2}[two]),
			Call:  overHTTP(&http.Client{Transport: transport}, target),
			Close: transport.CloseIdleConnections,
		})
	}
	return all, nil
}

// The kinds of calls.
const (
	unary        = "unary"
	clientStream = "client stream"
	serverStream = "server stream"
	bidiStream   = "bidi stream"
)

// messages is how many there are in a stream.
const messages = 4

func (t Target) url() string {
	if t.TLS != nil {
		return "https://" + t.Addr
	}
	return "http://" + t.Addr
}

func newTransport(t Target, two bool) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP1(!two)
	p.SetHTTP2(two && t.TLS != nil)
	p.SetUnencryptedHTTP2(two && t.TLS == nil)
	transport := &http.Transport{Protocols: p, MaxIdleConnsPerHost: 100}
	if t.TLS != nil {
		transport.TLSClientConfig = t.TLS.Clone()
	}
	return transport
}

func dialGRPC(t Target) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if t.TLS != nil {
		creds = credentials.NewTLS(t.TLS)
	}
	return grpc.NewClient(t.Addr, grpc.WithTransportCredentials(creds), grpc.WithDisableRetry())
}
