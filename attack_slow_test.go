package connectum_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Faults 1b, with the limits that are in force when nobody sets any.

func TestPeersThatSayNothingAreCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		want  time.Duration
		begin func(c net.Conn)
	}{
		{"silent", 5 * time.Second, func(net.Conn) {}},
		{"half a header", 5 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost:") }},
		{"a header by drips", 5 * time.Second, func(c net.Conn) {
			go func() {
				for _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX: "); err == nil; _, err = io.WriteString(c, "x") {
					time.Sleep(time.Second)
				}
			}()
		}},
		{"half a preface", 5 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "PRI * HTT") }},
		{"a preface alone", 2 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }}, // net/http's own
		{"idle HTTP/1.1", 120 * time.Second, func(c net.Conn) { _, _ = io.WriteString(c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			attacked(t, connectum.Config{}, usual, func(v *victim) {
				c := v.dial()
				test.begin(c)
				if got := closedAfter(c).Round(time.Second); got != test.want {
					t.Errorf("closed after %v, want %v", got, test.want)
				}
			})
		})
	}
	t.Run("idle HTTP/2", func(t *testing.T) {
		t.Parallel()
		attacked(t, connectum.Config{}, usual, func(v *victim) {
			p, began := attack.HTTP2(v.t, v.dial(), 1<<20), time.Now()
			p.Acknowledge()
			if got := p.Leave(began).Round(time.Second); got != 120*time.Second {
				t.Errorf("asked to leave after %v, want 2m", got)
			}
		})
	})
	t.Run("a silent handshake", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			cert, key := newAuthority(t, "ca", nil).valid(t, "server")
			cfg := quiet()
			cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key}
			v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
			go func() { _ = v.Serve(context.Background(), v.memory) }()
			synctest.Wait()
			for name, hello := range map[string]string{"nothing": "", "half a record": "\x16\x03\x01\x02\x00\x01"} {
				c := v.dial()
				_, _ = io.WriteString(c, hello)
				if got := closedAfter(c); got != 5*time.Second {
					t.Errorf("%s: closed after %v, want 5s", name, got)
				}
			}
			c := tls.Client(v.dial(), &tls.Config{InsecureSkipVerify: true}) // the control
			if err := c.Handshake(); err != nil {
				t.Errorf("a handshake: %v", err)
			}
			_ = v.Shutdown(context.Background())
		})
	})
}

// A request that is one message must come: without progress for 15 s, and in
// unary calls with any progress for 30 s, it is cut, and its client told so.
func TestSlowBodiesAreCut(t *testing.T) {
	t.Parallel()
	for _, d := range handmade {
		for _, two := range []bool{false, true} {
			if d.two && !two {
				continue
			}
			for _, test := range []struct {
				name    string
				every   time.Duration // between bytes; 0: no more come
				want    time.Duration
				message string
			}{
				{"stops", 0, 15 * time.Second, "the request stalled for 15s"},
				{"drips", 10 * time.Second, 30 * time.Second, "the call took longer than the server's limit of 30s"},
			} {
				if test.every > 0 && d.method() != echoPath {
					continue // a stream has no limit of the whole
				}
				t.Run(fmt.Sprintf("%s/two=%v/%s", d.name, two, test.name), func(t *testing.T) {
					t.Parallel()
					attacked(t, connectum.Config{}, usual, func(v *victim) {
						body := &drip{first: d.body(0, []byte("0123456789abcdef"))[:8], every: test.every, over: make(chan struct{})}
						defer body.Close()
						began := time.Now()
						got := d.send(v.t, v.http(two), "http://localhost", d.method(), nil, body)
						if took := time.Since(began); got.code != "deadline_exceeded" || got.message != test.message || took < test.want || took > test.want+time.Second {
							t.Errorf("%s, %q after %v, want deadline_exceeded, %q after %v", got.code, got.message, took, test.message, test.want)
						}
					})
				})
			}
		}
	}
}

// drip is a body whose end never comes.
type drip struct {
	first []byte
	every time.Duration
	over  chan struct{}
	once  sync.Once
}

// Close implements [io.Closer]: the client calls it when it has an answer.
func (d *drip) Close() error {
	d.once.Do(func() { close(d.over) })
	return nil
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.first) > 0 {
		n := copy(p, d.first)
		d.first = d.first[n:]
		return n, nil
	}
	var next <-chan time.Time
	if d.every > 0 {
		next = time.After(d.every)
	}
	select {
	case <-next:
		return copy(p, "x"), nil
	case <-d.over:
		return 0, io.ErrUnexpectedEOF
	}
}

// flood is a service that sends until it can't, and tells why.
func flood(v *victim) testservice.Service {
	return testservice.Service{OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
		for {
			if err := s.Send(&testv1.CountResponse{Payload: bytes.Repeat([]byte("0123456789abcdef"), 2<<10)}); err != nil {
				v.ended <- err
				return err
			}
		}
	}}
}

// countBody is the request of Count in an envelope.
func countBody(t testing.TB) []byte {
	t.Helper()
	message, err := proto.Marshal(&testv1.CountRequest{Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	return attack.Envelope(0, message)
}

func TestPeersThatReadNothingAreCut(t *testing.T) {
	t.Parallel()
	const streams = 50
	want := 15 * time.Second
	for _, contentType := range []string{"application/connect+proto", "application/grpc-web+proto", "application/grpc+proto"} {
		for _, test := range []struct {
			name   string
			window uint32
		}{{"no window", 0}, {"some window", 100 << 10}} {
			t.Run(contentType+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				attacked(t, connectum.Config{}, flood, func(v *victim) {
					p := attack.HTTP2(v.t, v.dial(), test.window)
					p.Acknowledge()
					go p.Leave(time.Now()) // it reads frames, but opens no window
					for i := range uint32(streams) {
						if err := p.Send(attack.Post(1+2*i, countPath, contentType),
							attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 1 + 2*i, Payload: countBody(v.t)}); err != nil {
							v.t.Fatal(err)
						}
					}
					began := time.Now()
					for range streams {
						<-v.ended
					}
					if took := time.Since(began); took < want || took > want+2*time.Second {
						t.Errorf("the handlers were held for %v, want %v", took, want)
					}
				})
			})
		}
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		attacked(t, connectum.Config{}, flood, func(v *victim) {
			c, body := v.dial(), countBody(v.t)
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: %d\r\n\r\n%s", countPath, len(body), body)
			began := time.Now()
			<-v.ended
			if took := time.Since(began); took < want || took > want+2*time.Second {
				t.Errorf("the handler was held for %v, want %v", took, want)
			}
		})
	})
}

// A handler that ignores its deadline is answered for, and what it makes of the
// call later reaches nobody.
func TestAHandlerThatIgnoresItsDeadlineIsAnsweredFor(t *testing.T) {
	t.Parallel()
	svc := func(*victim) testservice.Service {
		return testservice.Service{
			OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
				time.Sleep(2 * time.Second)
				return &testv1.EchoResponse{Text: secret}, nil
			},
			OnCount: func(_ context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
				time.Sleep(2 * time.Second)
				if req.GetCount() > 0 {
					return s.Send(&testv1.CountResponse{Text: secret})
				}
				return nil // an empty stream, as if that were all
			},
		}
	}
	for _, d := range handmade {
		attacked(t, connectum.Config{}, svc, func(v *victim) {
			header := map[string]string{"Connect-Timeout-Ms": "100"}
			if strings.HasPrefix(d.contentType, "application/grpc") {
				header = map[string]string{"Grpc-Timeout": "100m"}
			}
			calls := map[string][]byte{echoPath: d.body(0, nil)}
			if d.name == "connect json" {
				calls[echoPath] = []byte("{}")
			}
			if d.stream {
				calls[countPath] = countBody(t)
				calls[countPath+"?empty"] = d.body(0, nil)
			}
			if d.name == "connect stream" {
				delete(calls, echoPath)
			}
			for path, body := range calls {
				got := d.send(v.t, v.http(true), "http://localhost", path, header, bytes.NewReader(body))
				if got.code != "deadline_exceeded" || strings.Contains(got.wire, secret) {
					t.Errorf("%s, %s: %s, %q, want deadline_exceeded\n%s", d.name, path, got.code, got.message, got.wire)
				}
				time.Sleep(3 * time.Second)
			}
		})
	}
}
