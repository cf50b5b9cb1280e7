package connectumtest

import (
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// CallHandler calls one method of a service directly, on the server that it is
// registered on: the way to test a handler of streams, whose generated stream
// types can't be faked. It gets the requests one after the other, then the end
// of the stream; the outcome's error is the handler's own. The context of the
// call is the test's.
//
//	server := connect.NewServer()
//	userv1connect.RegisterUserServiceHandler(server, users)
//	got := connectumtest.CallHandler(t, server, userv1connect.UserServiceImportProcedure, one, two)
func CallHandler(t testing.TB, server *connect.Server, procedure string, requests ...proto.Message) Outcome {
	t.Helper()
	info := new(connect.CallInfo)
	for spec := range server.Specs() {
		if spec.Procedure == procedure {
			info.Spec = spec
		}
	}
	stream := &ServerStream{Requests: requests}
	err := server.Call(t.Context(), procedure, info, stream)
	return Outcome{Err: err, Answers: stream.Sent(), Received: requests[:stream.taken()], Calls: 1,
		Header: info.ResponseHeader(), Trailer: info.ResponseTrailer()}
}
