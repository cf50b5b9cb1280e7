//go:build !race

// The race detector has pools forget what they hold, so that everything
// allocates more.

package connectum_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// allocations returns how many a run of f takes on all goroutines of the
// process, clients and servers, on average.
func allocations(t *testing.T, f func() error) float64 {
	t.Helper()
	const runs = 1000
	loop := func(n int) {
		for range n {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	loop(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	loop(runs)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs
}

// raw makes the same HTTP/1.1 request again and again, and allocates nothing.
type raw struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	answer  int
}

func dialRaw(t *testing.T, addr, contentType, body string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		testv1connect.TestServiceEchoProcedure, contentType, len(body), body)
	return &raw{conn, bufio.NewReader(conn), []byte(request), len(body)}
}

// call takes an answer as long as the request.
func (r *raw) call() error {
	if _, err := r.conn.Write(r.request); err != nil {
		return err
	}
	for lines := 0; ; lines++ {
		line, err := r.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if lines == 0 && string(line) != "HTTP/1.1 200 OK\r\n" {
			return fmt.Errorf("answered %q", line)
		}
		if len(line) == len("\r\n") {
			break
		}
	}
	_, err := r.in.Discard(r.answer)
	return err
}

// rawGRPC makes gRPC calls over one HTTP/2 connection, each on a stream of its
// own, and allocates the same for each.
type rawGRPC struct {
	*attack.Peer
	stream uint32
}

func dialHTTP2(t *testing.T, addr string) *rawGRPC {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	peer := attack.HTTP2(t, conn, 1<<30)
	peer.Acknowledge()
	return &rawGRPC{Peer: peer, stream: 1}
}

func (r *rawGRPC) call() error {
	if err := r.Send(attack.Post(r.stream, testv1connect.TestServiceEchoProcedure, "application/grpc"),
		attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: r.stream, Payload: attack.Envelope(0, []byte("\x0a\x03Ada"))}); err != nil {
		return err
	}
	answered := false
	for {
		f, err := r.Next()
		if err != nil {
			return err
		}
		if f.Stream != r.stream {
			continue
		}
		answered = answered || f.Kind == attack.Data && len(f.Payload) > 5
		if f.Flags&attack.EndStream != 0 {
			break
		}
	}
	r.stream += 2
	if !answered {
		return errors.New("an answer without a message")
	}
	return nil
}

// What a bare server adds to a call over bare Connect: one for the call with its
// request, and one in which Connect holds the message to its limit.
func TestABareServerAddsFewAllocationsToACall(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	guarded := run(t, func() *connectum.Server {
		srv := connectum.New(quiet())
		testservice.Service{}.Register(srv.RPC())
		return srv
	}())
	rpc := connect.NewServer()
	testservice.Service{}.Register(rpc)
	mux := http.NewServeMux()
	connecthttp.Mount(mux, rpc)
	bare := httptest.NewUnstartedServer(mux)
	bare.Config.Protocols = new(http.Protocols)
	bare.Config.Protocols.SetHTTP1(true)
	bare.Config.Protocols.SetUnencryptedHTTP2(true)
	bare.Start()
	t.Cleanup(bare.Close)

	h1 := func(contentType, body string) func(addr string) func() error {
		return func(addr string) func() error { return dialRaw(t, addr, contentType, body).call }
	}
	grpc := func(addr string) func() error { return dialHTTP2(t, addr).call }
	for _, c := range []struct {
		name string
		most float64
		call func(addr string) func() error
	}{
		{"Connect, proto, HTTP/1.1", 1, h1("application/proto", "\x0a\x1e"+strings.Repeat("x", 30))},
		{"Connect, JSON, HTTP/1.1", 1, h1("application/json", `{"text":"xxxxxxxxxxxx"}`)},
		{"gRPC, HTTP/2", 2, grpc},
	} {
		without := allocations(t, c.call(bare.Listener.Addr().String()))
		with := allocations(t, c.call(guarded.Addr().String()))
		t.Logf("%s: %.2f, %.2f without", c.name, with, without)
		if with > without+c.most+0.5 { // net/http's own vary with the scheduler
			t.Errorf("%s: a server adds %.2f allocations to a call, want at most %v", c.name, with-without, c.most)
		}
		// The control: what a copy of the request costs is seen.
		copied := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range int(c.most) + 1 {
				r = r.WithContext(r.Context())
			}
			mux.ServeHTTP(w, r)
		}))
		copied.Config.Protocols = bare.Config.Protocols
		copied.Start()
		if got := allocations(t, c.call(copied.Listener.Addr().String())); got <= without+c.most+0.5 {
			t.Errorf("%s: %v copies of the request add %.2f allocations", c.name, c.most+1, got-without)
		}
		copied.Close()
	}
}

// A call in-process costs at most six allocations, the client's included.
func TestAnInProcessCallIsCheap(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
	req := &testv1.EchoRequest{Text: "Ada"}
	got := allocations(t, func() error {
		_, err := client.Echo(t.Context(), req)
		return err
	})
	t.Logf("%.2f allocations", got)
	if got > 6.5 {
		t.Errorf("a call in-process takes %.2f allocations, want at most 6", got)
	}
}

// The first checks of a chain use room that the call has.
func TestMessageChecksAllocateNothing(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	count := func(chain ...connectum.Interceptor) float64 {
		cfg := quiet()
		cfg.Interceptors = chain
		srv := connectum.New(cfg)
		testservice.Service{}.Register(srv.RPC())
		client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
		req := &testv1.EchoRequest{Text: "Ada"}
		return testing.AllocsPerRun(500, func() {
			if _, err := client.Echo(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		})
	}
	none, one, two := count(), count(without("stop", false)), count(without("stop", false), without("stop", true))
	if one > none {
		t.Errorf("checks add %v allocations", one-none)
	}
	if two <= none { // the control
		t.Errorf("two links of checks add %v allocations, want what the second needs seen", two-none)
	}
}
