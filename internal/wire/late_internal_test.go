package wire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
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
