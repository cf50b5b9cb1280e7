package connectum_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// halting is a connection whose writes go out as far as let, and the rest when
// the pause is over.
type halting struct {
	net.Conn
	let   int
	pause time.Duration
}

func (c *halting) Write(p []byte) (int, error) {
	n := min(c.let, len(p))
	c.let -= n
	if _, err := c.Conn.Write(p[:n]); err != nil || n == len(p) {
		return n, err
	}
	time.Sleep(c.pause)
	c.let = 1 << 30
	k, err := c.Conn.Write(p[n:])
	return n + k, err
}

// A request that has begun when the server stops is answered, however slowly the
// rest of it comes within the timeouts that it has anyway, over a connection that
// is new, or kept alive, or still shakes hands. Who has sent nothing is closed.
func TestARequestThatHasBegunIsAnsweredDuringTheStop(t *testing.T) {
	t.Parallel()
	const request = "POST " + echoPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"text\":\"late\"}"
	for _, secure := range []bool{false, true} {
		for _, engine := range []bool{false, true} {
			for _, test := range []struct {
				name  string
				calls int // that were made over it before
				sent  string
				let   int // of the bytes of the handshake
				ends  bool
			}{
				{name: "a byte", sent: request[:1], let: 1 << 20},
				{name: "half a header", sent: request[:40], let: 1 << 20},
				{name: "a byte after a call", calls: 1, sent: request[:1], let: 1 << 20},
				{name: "half a header after calls", calls: 2, sent: request[:40], let: 1 << 20},
				{name: "half a handshake", let: 100},
				{name: "the control: nothing", let: 1 << 20, ends: true},
				{name: "the control: nothing after a call", calls: 1, let: 1 << 20, ends: true},
			} {
				if !secure && test.let < 1<<20 {
					continue
				}
				t.Run(fmt.Sprintf("%s, TLS %v, engine %v", test.name, secure, engine), func(t *testing.T) {
					t.Parallel()
					stopping(t, secure, engine, func(v *victim, trust *tls.Config) {
						raw := v.dial()
						c := raw
						if secure {
							c = tls.Client(&halting{raw, test.let, time.Second}, trust)
						}
						in := bufio.NewReader(c)
						for range test.calls {
							_, _ = io.WriteString(c, request)
							if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusOK || res.Close {
								t.Fatalf("before the stop: %v, %v", res, err)
							} else if _, err := io.Copy(io.Discard, res.Body); err != nil {
								t.Fatal(err)
							}
						}
						shaken := make(chan struct{})
						go func() {
							defer close(shaken)
							if _, err := io.WriteString(c, test.sent); err == nil && secure {
								_ = c.(*tls.Conn).Handshake()
							}
						}()
						time.Sleep(10 * time.Millisecond)
						stopped, began := make(chan error, 1), time.Now()
						go func() { stopped <- v.Shutdown(context.Background()) }()
						time.Sleep(600 * time.Millisecond) // the grace, and more
						<-shaken
						_, err := io.WriteString(c, request[len(test.sent):])
						res, readErr := http.ReadResponse(in, nil)
						switch {
						case test.ends:
							if readErr == nil {
								t.Errorf("answered %v: the server did not close", res.Status)
							}
						case err != nil || readErr != nil:
							t.Errorf("not answered: %v, %v", err, readErr)
						default:
							text, err := io.ReadAll(res.Body)
							if err != nil || res.StatusCode != http.StatusOK || !res.Close || !strings.Contains(string(text), "late") {
								t.Errorf("answered %v %q, %v; closes: %v", res.Status, text, err, res.Close)
							}
						}
						if err := <-stopped; err != nil {
							t.Error(err)
						}
						if took := time.Since(began); took > 3*time.Second {
							t.Errorf("the stop took %v", took)
						}
						_ = raw.Close()
					})
				})
			}
		}
	}
}

// A client may begin its next request before it has the answer to the last one.
// net/http then reads one byte of it while the handler still runs, or, when both
// came together, all that fits into its buffer.
func TestARequestThatBeganDuringTheLastIsAnsweredDuringTheStop(t *testing.T) {
	t.Parallel()
	for _, variant := range []struct{ secure, engine, together, post bool }{
		{}, {engine: true}, {together: true}, {together: true, engine: true}, {together: true, secure: true},
		{together: true, post: true}, {together: true, post: true, engine: true},
	} {
		for _, begins := range []int{0, 1, 2, 3, 4, 5, 10, 38} { // 0: the control
			t.Run(fmt.Sprintf("%d bytes, %+v", begins, variant), func(t *testing.T) {
				t.Parallel()
				request := "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
				if variant.post {
					request = "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
				}
				stopping(t, variant.secure, variant.engine, func(v *victim, trust *tls.Config) {
					c := v.dial()
					if variant.secure {
						c = tls.Client(c, trust)
					}
					in := bufio.NewReader(c)
					first := request
					if variant.together {
						first += request[:begins]
					}
					_, _ = io.WriteString(c, first)
					time.Sleep(10 * time.Millisecond) // the handler runs
					if !variant.together {
						_, _ = io.WriteString(c, request[:begins])
					}
					if res, err := http.ReadResponse(in, nil); err != nil || res.Close {
						t.Fatalf("before the stop: %v, %v", res, err)
					} else if _, err := io.Copy(io.Discard, res.Body); err != nil {
						t.Fatal(err)
					}
					stopped := make(chan error, 1)
					go func() { stopped <- v.Shutdown(context.Background()) }()
					time.Sleep(600 * time.Millisecond) // the grace, and more
					_, _ = io.WriteString(c, request[begins:])
					res, err := http.ReadResponse(in, nil)
					if answered := err == nil && res.StatusCode == http.StatusOK && res.Close; answered != (begins > 0) {
						t.Errorf("answered: %v (%v, %v)", answered, res, err)
					}
					if err := <-stopped; err != nil {
						t.Error(err)
					}
					_ = c.Close()
				})
			})
		}
	}
}

// Nobody holds a stop by half of a request for longer than its timeouts.
func TestHalfARequestDoesNotHoldTheStop(t *testing.T) {
	t.Parallel()
	for _, engine := range []bool{false, true} {
		for name, sent := range map[string]string{"a byte": "P", "half a header": "POST / HTTP/1.1\r\nHos", "half a preface": "PRI * HTTP"} {
			t.Run(fmt.Sprintf("%s, engine %v", name, engine), func(t *testing.T) {
				t.Parallel()
				stopping(t, false, engine, func(v *victim, _ *tls.Config) {
					c := v.dial()
					_, _ = io.WriteString(c, sent)
					synctest.Wait()
					began := time.Now()
					if err := v.Shutdown(context.Background()); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 6*time.Second {
						t.Errorf("the stop took %v", took)
					}
				})
			})
		}
	}
}

// stopping runs f beside a server that echoes, by the fake clock.
func stopping(t *testing.T, secure, engine bool, f func(v *victim, trust *tls.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg, trust := quiet(), (*tls.Config)(nil)
		if secure {
			ca := newAuthority(t, "ca", nil)
			cert, key := ca.valid(t, "server")
			cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key}
			trust = ca.trust()
			trust.ServerName = "localhost"
		}
		v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
		testservice.Service{}.Register(v.RPC())
		v.Handle("/slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }))
		if engine {
			v.AddEngine(new(toy).engine())
		}
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		defer func() {
			if err := <-ended; err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second) // connections that ended linger for their peers
		}()
		defer func() { _ = v.Shutdown(context.Background()) }()
		f(v, trust)
	})
}

// Since TLS 1.3 a client has shaken hands before the server has seen its
// certificate. When that is refused the client reads why, though it may have sent
// requests meanwhile, and no broken pipe.
func TestAClientWhoseCertificateIsRefusedReadsWhy(t *testing.T) {
	t.Parallel()
	for _, engine := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ca := newAuthority(t, "ca", nil)
			cert, key := ca.valid(t, "server")
			cfg := quiet()
			cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key, ClientCAPEM: ca.pem}
			v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
			if engine {
				v.AddEngine(new(toy).engine())
			}
			ended := make(chan error, 1)
			go func() { ended <- v.Serve(context.Background(), v.memory) }()
			synctest.Wait()
			trust := ca.trust()
			trust.ServerName = "localhost"
			oldCert, oldKey := ca.leaf(t, "old", -time.Hour, -time.Second)
			old, err := tls.X509KeyPair(oldCert, oldKey)
			if err != nil {
				t.Fatal(err)
			}
			trust.Certificates = []tls.Certificate{old}
			c := tls.Client(v.dial(), trust)
			if err := c.Handshake(); err != nil {
				t.Error(err)
			}
			synctest.Wait() // the server has seen the certificate
			for range 10 {
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "expired certificate") {
				t.Errorf("read: %v, want the alert", err)
			}
			_ = c.Close()
			_ = v.Shutdown(context.Background())
			<-ended
			time.Sleep(2 * time.Second)
		})
	}
}

// The in-process door has no connections whose close would end it. What comes by it
// while those of the network are closed is a call like any other: hooks wait for
// it. Then it is closed too.
func TestHooksWaitForInProcessCallsThatComeLast(t *testing.T) {
	t.Parallel()
	stopping(t, false, false, func(v *victim, _ *tls.Config) {
		client := testv1connect.NewTestServiceClient(connect.NewClient(v.Transport()))
		c := v.dial() // is idle after a call, and has its grace
		_, _ = io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.Close {
			t.Fatal(res, err)
		}
		hooked := make(chan struct{})
		v.OnShutdown("hook", func() { close(hooked) })
		stopped := make(chan error, 1)
		go func() { stopped <- v.Shutdown(context.Background()) }()
		time.Sleep(100 * time.Millisecond)
		select {
		case <-hooked:
			t.Fatal("the connection did not hold the stop: nothing is tested")
		default:
		}
		sum, err := client.Sum(context.Background())
		if err == nil {
			err = sum.Send(&testv1.SumRequest{Number: 7})
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		select {
		case <-hooked:
			t.Error("hooks ran beside the call")
		default:
		}
		if res, err := sum.CloseAndReceive(); err != nil || res.GetSum() != 7 {
			t.Errorf("%v, %v", res, err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		<-hooked
		if _, err := client.Echo(context.Background(), &testv1.EchoRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("after the stop: %v", err)
		}
	})
}
