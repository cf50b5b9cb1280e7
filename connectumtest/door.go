package connectumtest

import (
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
)

// Door is one way to call a server, for [EachDoor]. The standard ones are
//
//	in-process            Server.Transport
//	connect json http1    Connect in JSON over HTTP/1.1, as curl and browsers do
//	connect proto http1   Connect in protobuf over HTTP/1.1
//	connect proto h2c     the same over HTTP/2 without TLS
//	grpcweb http1, h2c    gRPC-Web
//	grpc h2c              gRPC
//	connect proto tls     over HTTP/2 with TLS, which the kit ends
//	grpc tls
//
// Door is an alias of a plain struct, so that a package that adds a door of its
// own need not import this one.
type Door = doors.Door

// EachDoor starts srv and runs f as a subtest for every door, the standard ones
// first, with a client that calls through it. srv must not have run. Bidi
// streams do not work over HTTP/1.1; see [EachBidiDoor].
//
// For a server whose Config sets TLS, see [WithTLS].
func EachDoor(t *testing.T, srv *connectum.Server, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	Start(t, srv).EachDoor(t, f, more...)
}

// EachBidiDoor is [EachDoor] without the doors over HTTP/1.1, for tests of bidi
// streams.
func EachBidiDoor(t *testing.T, srv *connectum.Server, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	Start(t, srv).EachBidiDoor(t, f, more...)
}

// EachDoor is the function [EachDoor] for a server that runs.
func (s *Server) EachDoor(t *testing.T, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	s.run.Each(t, f, more...)
}

// EachBidiDoor is the function [EachBidiDoor] for a server that runs.
func (s *Server) EachBidiDoor(t *testing.T, f func(t *testing.T, client *connect.Client), more ...Door) {
	t.Helper()
	s.run.EachBidi(t, f, more...)
}

// Doors returns the standard doors of the server.
func (s *Server) Doors() []Door { return s.run.Doors() }

// Client returns a client that calls through the standard door of that name, such
// as "connect json http1"; see [Door] for the names. The test ends when there is
// none.
func (s *Server) Client(t testing.TB, door string) *connect.Client {
	t.Helper()
	var names []string
	for _, d := range s.Doors() {
		if d.Name == door {
			return s.Through(t, d)
		}
		names = append(names, d.Name)
	}
	t.Fatalf("the server has no door %q, only %q", door, names)
	return nil
}

// Through opens a door and returns a client that calls through it.
func (s *Server) Through(t testing.TB, d Door) *connect.Client {
	t.Helper()
	return s.run.Client(t, d)
}
