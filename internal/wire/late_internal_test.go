package wire

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/internal/certs"
)

// tcpPair returns the two ends of a connection of the system's own.
func tcpPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return server, client
}

const wholeRequest = "POST /a HTTP/1.1\r\nHost: wire.test\r\nContent-Length: 2\r\n\r\nhi"

// What had come when a deadline passed is read, wherever net/http stands in it:
// the machine was late, not the peer. An interrupt ends a read all the same.
func TestWhatCameInTimeIsReadAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plaintext", true: "TLS"}[secure], func(t *testing.T) {
			t.Parallel()
			raw, client := tcpPair(t)
			cfg := Config{Batch: true, GoAway: true, Meter: DefaultMeter()}
			if secure {
				ca := certs.NewCA(t)
				pair := ca.Sign(t, certs.Leaf{Hosts: []string{"wire.test"}})
				cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
				if err != nil {
					t.Fatal(err)
				}
				cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				client = tls.Client(client, &tls.Config{RootCAs: ca.Pool(), ServerName: "wire.test"})
			}
			c := Listen(nil, cfg).newConn(raw)
			sent := make(chan error, 1)
			go func() {
				_, err := io.WriteString(client, wholeRequest)
				sent <- err
			}()
			first := make([]byte, 14) // as net/http looks for the preface
			if _, err := io.ReadFull(c, first); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			soon := time.Now().Add(10 * time.Millisecond)
			_ = c.SetReadDeadline(soon)
			<-time.After(time.Until(soon) + time.Millisecond)
			req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(first), c)))
			if err != nil || req.URL.Path != "/a" {
				t.Errorf("after the deadline: %v, %v", req, err)
			}
			if _, err := c.Read(make([]byte, 1)); !secure && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("with nothing to read: %v", err)
			}
			if _, err := io.WriteString(client, wholeRequest); err != nil {
				t.Fatal(err)
			}
			for !c.sock.pending() {
				<-time.After(time.Millisecond)
			}
			_ = c.SetReadDeadline(past) // as net/http ends its background read
			if n, err := c.Read(first[:1]); n > 0 && !secure || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("interrupted: %d, %v", n, err)
			}
		})
	}
}

// The time of a handshake goes on for up to as long again while there is something
// to read: it is not the peer who is slow.
func TestAHandshakeHasMoreTimeWhileThereIsSomethingToRead(t *testing.T) {
	t.Parallel()
	const d = 5 * time.Second
	for name, c := range map[string]struct {
		read, done time.Duration // when all has been read, and the handshake is over; zero: never
		cut        time.Duration // zero: not
	}{
		"silent":             {read: time.Nanosecond, cut: d},
		"read late":          {read: d + time.Second, cut: d + time.Second},
		"never read":         {cut: 2 * d},
		"done in time":       {read: time.Nanosecond, done: d - 1},
		"done late":          {done: 2*d - 1},
		"done late and read": {read: d + 2*time.Second, done: d + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, cut := time.Now(), time.Duration(0)
				over := bound(d, func() bool { return c.read == 0 || time.Since(began) < c.read }, func() { cut = time.Since(began) })
				time.Sleep(cmp.Or(c.done, time.Hour))
				if late := over(); late != (c.cut > 0) {
					t.Errorf("late: %v", late)
				}
				time.Sleep(time.Hour) // nothing happens after the end
				if cut.Truncate(time.Second) != c.cut {
					t.Errorf("cut after %v, want %v", cut, c.cut)
				}
			})
		})
	}
}

// gate is a listener that is not asked for a while: the machine is busy.
type gate struct {
	*net.TCPListener
	open chan struct{}
}

func (g gate) Accept() (net.Conn, error) {
	<-g.open
	return g.TCPListener.Accept()
}

// Who has connected by the time that nothing more is accepted is served: closed at
// once, the system would reset those that it has not handed over.
func TestSettleTakesWhoHasConnected(t *testing.T) {
	t.Parallel()
	const conns = 20
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := gate{tcp.(*net.TCPListener), make(chan struct{})}
	l := Listen(g, Config{Batch: true, GoAway: true})
	srv := &http.Server{ConnState: l.ConnState, ConnContext: l.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	var clients []net.Conn
	for range conns {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, wholeRequest)
		clients = append(clients, c)
	}
	l.Settle()
	<-time.After(20 * time.Millisecond) // longer than Accept is told to wait
	close(g.open)
	for i, c := range clients {
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("connection %d: %v, %v", i, res, err)
		}
	}
	for l.Waiting() > 0 {
		<-time.After(time.Millisecond)
	}
	if _, err := net.Dial("tcp", tcp.Addr().String()); err == nil {
		t.Error("it still accepts")
	}
	select {
	case err := <-ended:
		t.Errorf("Serve ended before the shutdown: %v", err)
	default:
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
