// Package connectumtest tests services: in-process or over every protocol, with
// fakes, scripts and recordings in place of what is not there.
//
//	func TestSayHello(t *testing.T) {
//		srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
//		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//
//		connectumtest.EachDoor(t, srv, func(t *testing.T, client *connect.Client) {
//			res, err := greeterv1connect.NewGreeterServiceClient(client).SayHello(t.Context(), req)
//			...
//		})
//	}
//
// [Client] calls a server in-process, [Start] runs one on a free port, and
// [EachDoor] runs one test through every way into it. Everything is cleaned up
// when the test ends, and what has no socket works inside testing/synctest.
package connectumtest
