package connectum

import (
	"net"
	"sync"
	"testing"

	"github.com/connectum-go/connectum/internal/wire"
)

// However calls of a connection begin and end beside each other, it is not idle
// while there is one: an idle one is closed to make room, and when the server stops.
func TestAConnectionWithACallIsNotIdle(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := wire.Listen(tcp, wire.Config{})
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	c := New(Config{}).newEngineConn(raw.(*wire.Conn), &Engine{})
	for i := range 100_000 {
		c.enterCall()
		var both sync.WaitGroup
		both.Go(c.enterCall)
		both.Go(c.leaveCall) // which runs first, as a rule
		both.Wait()
		if s := l.Stats(); s.Active != 1 {
			t.Fatalf("round %d: with a call in flight it is %+v", i, s)
		}
		c.leaveCall()
		if s := l.Stats(); s.Idle != 1 {
			t.Fatalf("round %d: without a call it is %+v", i, s)
		}
	}
}
