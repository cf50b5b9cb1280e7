// Package doors runs one test through every way into a server. It uses the
// standard library and connect alone, so that the tests of the root package may
// use it; package connectumtest is what users see of it.
//
//	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
//		res, err := greeterv1connect.NewGreeterServiceClient(client).Greet(t.Context(), req)
//		...
//	})
//
// One run of the server is behind all doors, on two ports of the loopback: one
// is plaintext, on the other the kit ends TLS and hands the server what was
// inside. A server that ends TLS itself is started with [Config.TLS], and all
// doors are then TLS.
package doors

import (
	"context"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Door is one way to call a server. It is an alias so that packages which must
// not link a test kit can return one.
type Door = struct {
	// Name names the subtest.
	Name string

	// HalfDuplex says that clients cannot receive before they have sent
	// everything, as over HTTP/1.1: bidi streams do not work.
	HalfDuplex bool

	// Open returns a transport that calls srv, which runs: its Addr is known.
	// The transport is used until ctx ends.
	Open func(ctx context.Context, srv *connectum.Server) (connect.Transport, error)
}

// InProcess is the door without a socket.
func InProcess() Door {
	return Door{Name: "in-process", Open: func(_ context.Context, srv *connectum.Server) (connect.Transport, error) {
		return srv.Transport(), nil
	}}
}

// Each starts srv and runs f as a subtest for every door of [Run.Doors], then
// for more.
func Each(t *testing.T, srv *connectum.Server, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	Start(t, srv, Config{}).Each(t, f, more...)
}

// EachBidi is Each without the doors that are half duplex.
func EachBidi(t *testing.T, srv *connectum.Server, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	Start(t, srv, Config{}).EachBidi(t, f, more...)
}

// Each is [Each] for a server that runs already.
func (r *Run) Each(t *testing.T, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	for _, d := range append(r.Doors(), more...) {
		t.Run(d.Name, func(t *testing.T) { f(t, r.Client(t, d)) })
	}
}

// EachBidi is [EachBidi] for a server that runs already.
func (r *Run) EachBidi(t *testing.T, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	for _, d := range append(r.Doors(), more...) {
		if !d.HalfDuplex {
			t.Run(d.Name, func(t *testing.T) { f(t, r.Client(t, d)) })
		}
	}
}

// Client opens d and returns a client that calls through it.
func (r *Run) Client(t testing.TB, d Door) *connect.Client {
	t.Helper()
	transport, err := d.Open(t.Context(), r.Server)
	if err != nil {
		t.Fatalf("open door %s: %v", d.Name, err)
	}
	return connect.NewClient(transport)
}
