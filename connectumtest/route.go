package connectumtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Route returns a client of several servers, in-process: each call goes to the
// server that has its procedure, so that a service which calls others can be
// tested with all of them, or with fakes in their place. A procedure that no
// server has fails with unimplemented; one that two have ends the test.
//
// servers are by name. Answers carry the name of who gave them in the header
// [RouteHeader].
func Route(t testing.TB, servers map[string]*connectum.Server) *connect.Client {
	t.Helper()
	r := router{by: map[string]target{}}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		srv := servers[name]
		if err := srv.Check(); err != nil {
			t.Fatalf("the configuration of server %s is wrong: %v", name, err)
		}
		for spec := range srv.Procedures() {
			if other, taken := r.by[spec.Procedure]; taken {
				t.Fatalf("servers %s and %s both have %s", other.name, name, spec.Procedure)
			}
			r.by[spec.Procedure] = target{name, srv.Transport()}
		}
	}
	return connect.NewClient(r)
}

// RouteHeader is the response header that names the server by which a call of
// [Route] was answered.
const RouteHeader = "Connectumtest-Server"

type router struct{ by map[string]target }

type target struct {
	name      string
	transport connect.Transport
}

// NewClientStream implements [connect.Transport].
func (r router) NewClientStream(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
	to, ok := r.by[spec.Procedure]
	if !ok {
		return nil, connect.NewError(connect.CodeUnimplemented, fmt.Sprintf("no server has %s", spec.Procedure)).WithRemote()
	}
	stream, err := to.transport.NewClientStream(ctx, spec)
	if err != nil {
		return nil, err
	}
	info, _ := connect.CallInfoForClientContext(ctx)
	return &routed{stream, info, to.name}, nil
}

// routed tells who answered, with whatever comes first.
type routed struct {
	connect.ClientStream
	info *connect.CallInfo
	name string
}

func (s *routed) Receive(msg any) error {
	err := s.ClientStream.Receive(msg)
	if s.info != nil {
		s.info.ResponseHeader().Set(RouteHeader, s.name)
	}
	return err
}
