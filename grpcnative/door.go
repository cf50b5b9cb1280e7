package grpcnative

import (
	"context"
	"crypto/tls"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
)

// Door is the way through the engine into a plaintext server that [Register] was
// called for, for connectumtest.EachDoor and Parity:
//
//	connectumtest.EachDoor(t, srv, f, grpcnative.Door())
//
// The connection is one of its own, so that it begins with a gRPC call.
func Door() struct {
	Name       string
	HalfDuplex bool
	Open       func(ctx context.Context, srv *connectum.Server) (connect.Transport, error)
} {
	return door("grpc native", nil)
}

// DoorTLS is [Door] for a server that ends TLS itself: trust is what its clients
// are configured with.
func DoorTLS(trust *tls.Config) struct {
	Name       string
	HalfDuplex bool
	Open       func(ctx context.Context, srv *connectum.Server) (connect.Transport, error)
} {
	return door("grpc native tls", trust)
}

func door(name string, trust *tls.Config) (out struct {
	Name       string
	HalfDuplex bool
	Open       func(ctx context.Context, srv *connectum.Server) (connect.Transport, error)
}) {
	out.Name = name
	out.Open = func(ctx context.Context, srv *connectum.Server) (connect.Transport, error) {
		addr := srv.EngineAddr(DoorGRPC)
		if addr == nil {
			addr = srv.Addr()
		}
		scheme, p := "http://", new(http.Protocols)
		if trust == nil {
			p.SetUnencryptedHTTP2(true)
		} else {
			scheme = "https://"
			p.SetHTTP2(true)
		}
		tr := &http.Transport{Protocols: p, TLSClientConfig: trust.Clone()}
		context.AfterFunc(ctx, tr.CloseIdleConnections)
		return connecthttp.NewTransport(&http.Client{Transport: tr}, scheme+addr.String(), connecthttp.WithGRPC()), nil
	}
	return out
}
