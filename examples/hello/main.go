// Command hello is the smallest server: every protocol on port 5000.
package main

import (
	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

func main() {
	srv := connectum.New(connectum.Config{Addr: ":5000"})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	connectum.Main(srv)
}
