package frames_test

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/connectum-go/connectum/internal/wire"
)

// The connection that a handler hijacks is a net.Conn in every respect: the suite
// of the Go project looks at deadlines that are set before, during and after reads
// and writes, at what is closed under them, and at use by many goroutines.
//
// It does not fit TLS: crypto/tls writes nothing more after a write has timed out.
func TestHijackedConnectionsAreNetConns(t *testing.T) {
	t.Parallel()
	nettest.TestConn(t, func() (server, client net.Conn, stop func(), err error) {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		l := wire.Listen(tcp, wire.Config{Batch: true, GoAway: true, Meter: wire.DefaultMeter()})
		client, err = net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			return nil, nil, nil, errors.Join(err, l.Close())
		}
		server, err = l.Accept()
		if err != nil {
			return nil, nil, nil, errors.Join(err, client.Close(), l.Close())
		}
		_, err = client.Write([]byte{0}) // nobody hijacks it before a request has come
		if _, e := server.Read(make([]byte, 1)); err != nil || e != nil {
			return nil, nil, nil, errors.Join(err, e, client.Close(), server.Close(), l.Close())
		}
		l.ConnState(server, http.StateActive)
		l.ConnState(server, http.StateHijacked)
		return server, client, func() { _, _, _ = client.Close(), server.Close(), l.Close() }, nil
	})
}
