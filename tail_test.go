package connectum_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A handler that has returned leaves the last bytes to net/http, which waits for
// its peer without a bound. The server has one: Limits.WriteStall.

func TestPeerThatNeverEndsItsRequestIsCut(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Limits.WriteStall, cfg.Limits.HeaderTimeout = time.Second, time.Minute // the client may be slow to begin
	srv := connectum.New(cfg)
	srv.Handle("/ignores", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	conn := dial(t, run(t, srv).Addr().String())
	fmt.Fprint(conn, "POST /ignores HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nten bytes.")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Fatal("the connection is held open by a request of which the rest never comes")
	}
}

func TestPeerThatTakesNoAnswerIsCut(t *testing.T) {
	t.Parallel()
	body, err := proto.Marshal(&testv1.EchoRequest{Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	for contentType, body := range map[string][]byte{
		"application/proto": body,                     // left to net/http
		"application/grpc":  attack.Envelope(0, body), // flushed by Connect
	} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			testPeerThatTakesNoAnswer(t, contentType, body)
		})
	}
}

func testPeerThatTakesNoAnswer(t *testing.T, contentType string, body []byte) {
	t.Helper()
	cfg := quiet()
	cfg.Limits.WriteStall, cfg.Limits.HeaderTimeout = time.Second, time.Minute
	srv := connectum.New(cfg)
	testv1connect.RegisterTestServiceHandler(srv.RPC(), testservice.Service{})
	conn := dial(t, run(t, srv).Addr().String())

	block := []byte{0x83, 0x86} // POST, http
	literal := func(name byte, value string) {
		block = append(append(append(block, 0x0f&name), byte(len(value))), value...)
	}
	literal(4, testv1connect.TestServiceEchoProcedure)
	literal(1, "x")
	block = append(append(block, 0x0f, 31-15), byte(len(contentType)))
	block = append(block, contentType...)

	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = append(out, frame(4, 0, 0, []byte{0, 4, 0, 0, 0, 0})...) // a window of nothing
	out = append(out, frame(1, 4, 1, block)...)
	out = append(out, frame(0, 1, 1, body)...)
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	for {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			t.Fatalf("no RST_STREAM for a peer that takes nothing: %v", err)
		}
		size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		payload := make([]byte, size)
		if _, err := io.ReadFull(in, payload); err != nil {
			t.Fatal(err)
		}
		switch head[3] {
		case 0:
			if size > 0 {
				t.Fatalf("%d bytes of DATA without a window", size)
			}
		case 3:
			return
		}
	}
}

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	out := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(out, stream), payload...)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
