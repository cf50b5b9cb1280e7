package connectum_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestEndUnblocksAHandlerAndTellsItsClientWhy(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	srv := connectum.New(quiet())
	testservice.Service{OnChat: func(ctx context.Context, stream testv1connect.TestServiceChatServerStream) error {
		if !connectum.End(ctx, why) {
			t.Error("End does not know the call")
		}
		if context.Cause(ctx) != error(why) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
		_, err := stream.Receive() // the client sends nothing
		return err
	}}.Register(srv.RPC())
	run := doors.Start(t, srv, doors.Config{})
	for _, d := range run.Doors() {
		if d.HalfDuplex {
			continue
		}
		stream, err := testv1connect.NewTestServiceClient(run.Client(t, d)).Chat(t.Context())
		if err == nil && stream.SendHeaders() == nil {
			_, err = stream.Receive()
		}
		if connect.CodeOf(err) != connect.CodeAborted {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	if connectum.End(t.Context(), why) {
		t.Error("End of no call")
	}
}

// A call that a middleware has ended reaches no handler.
func TestACallThatHasEndedDoesNotBegin(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	var end atomic.Bool
	cfg := quiet()
	cfg.Middleware = []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if end.Load() {
				connectum.End(r.Context(), why)
			}
			next.ServeHTTP(w, r)
		})
	}}
	var begun atomic.Int64
	in := serving(t, cfg, testservice.Service{OnSum: func(context.Context, testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
		begun.Add(1)
		return &testv1.SumResponse{}, nil
	}})
	dialects := in.dialects()
	delete(dialects, "in-process") // where there is no middleware
	for _, ended := range []bool{false, true} {
		end.Store(ended)
		begun.Store(0)
		for name, client := range dialects {
			stream, err := testv1connect.NewTestServiceClient(client).Sum(t.Context())
			if err == nil {
				_, err = stream.CloseAndReceive()
			}
			if (connect.CodeOf(err) == connect.CodeAborted) != ended {
				t.Errorf("%s, ended %v: %v", name, ended, err)
			}
		}
		if n := int(begun.Load()); ended && n > 0 || !ended && n != len(dialects) {
			t.Errorf("ended %v: %d handlers have begun", ended, n)
		}
	}
}

// What comes next on the connection is not touched by it.
func TestEndLeavesTheConnectionToTheNextCall(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	in := serving(t, quiet(), testservice.Service{
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{}); err != nil {
				return err
			}
			connectum.End(ctx, why)
			<-ctx.Done()
			return ctx.Err()
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			if _, err := s.Receive(); err != nil {
				return nil, err
			}
			connectum.End(ctx, why)
			_, err := s.Receive() // the client sends no more
			return nil, err
		},
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return &testv1.EchoResponse{}, ctx.Err()
		},
	})
	for name, client := range in.dialects() {
		c := testv1connect.NewTestServiceClient(client)
		for range 5 {
			count, err := c.Count(t.Context(), &testv1.CountRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = count.Receive()
			}
			_ = count.Close()
			if connect.CodeOf(err) != connect.CodeAborted {
				t.Errorf("%s: the stream of responses ended with %v", name, err)
			}
			if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
				t.Errorf("%s: the call after it: %v", name, err)
			}
			sum, err := c.Sum(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = sum.Send(&testv1.SumRequest{})
			// A client that writes to a stream that has ended may be told just that.
			if _, err := sum.CloseAndReceive(); err == nil {
				t.Errorf("%s: the stream of requests did not end", name)
			}
			if _, err := c.Echo(t.Context(), &testv1.EchoRequest{}); err != nil {
				t.Errorf("%s: the call after that: %v", name, err)
			}
		}
	}
}

// An end that comes as the handler returns, or later, is none: net/http, whose
// deadlines may not be set any more, would end the process (a trap: nil
// dereference in SetReadDeadline after the handler).
func TestEndThatComesTooLateHarmsNobody(t *testing.T) {
	t.Parallel()
	why := connect.NewError(connect.CodeAborted, "ended by a test")
	var late sync.WaitGroup
	srv := connectum.New(quiet())
	testservice.Service{
		OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			late.Go(func() {
				for range 20 {
					connectum.End(ctx, why)
				}
			})
			return &testv1.EchoResponse{}, nil
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			late.Go(func() {
				for range 20 {
					connectum.End(ctx, why)
				}
			})
			_, err := s.Receive()
			return &testv1.SumResponse{}, err
		},
	}.Register(srv.RPC())
	doors.Each(t, srv, func(t *testing.T, c *connect.Client) {
		client := testv1connect.NewTestServiceClient(c)
		for range 100 {
			if _, err := client.Echo(t.Context(), &testv1.EchoRequest{}); err != nil && connect.CodeOf(err) != connect.CodeAborted {
				t.Fatal(err)
			}
			sum, err := client.Sum(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = sum.Send(&testv1.SumRequest{})
			_, _ = sum.CloseAndReceive() // ended or not
		}
		late.Wait()
		if _, err := client.Get(t.Context(), &testv1.GetRequest{}); err != nil {
			t.Errorf("the call after it: %v", err)
		}
	})
}

// A client over HTTP/1.1 that goes on sending when its call has been ended, or when
// a handler has not read all of a large request, is let do so until it has read the
// answer: it would take a broken pipe for it.
func TestAClientThatGoesOnSendingReadsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, test := range []struct{ name, head, want string }{
			{"ended", "POST " + sumPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+proto\r\nTransfer-Encoding: chunked\r\n\r\n", "ended by a test"},
			{"large", "POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n", "enough"},
		} {
			t.Run(fmt.Sprintf("%s, TLS %v", test.name, secure), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cfg, trust := quiet(), (*tls.Config)(nil)
					if secure {
						ca := newAuthority(t, "ca", nil)
						cert, key := ca.valid(t, "server")
						cfg.TLS, trust = connectum.TLS{CertPEM: cert, KeyPEM: key}, ca.trust()
						trust.ServerName = "localhost"
					}
					v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
					testservice.Service{OnSum: func(ctx context.Context, _ testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
						connectum.End(ctx, connect.NewError(connect.CodeAborted, "ended by a test"))
						return nil, ctx.Err()
					}}.Register(v.RPC())
					v.Handle("/deaf", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "enough", http.StatusTeapot) }))
					over := make(chan error, 1)
					go func() { over <- v.Serve(context.Background(), v.memory) }()
					synctest.Wait()
					c := v.dial()
					if secure {
						c = tls.Client(c, trust)
					}
					_, _ = io.WriteString(c, test.head)
					synctest.Wait() // the server has answered, and is done
					for range 10 {
						if _, err := io.WriteString(c, "5\r\n\x00\x00\x00\x00\x00\r\n"); err != nil {
							t.Errorf("write: %v", err)
						}
						synctest.Wait()
					}
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Error(err)
					} else if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), test.want) {
						t.Errorf("%q, %v, want %q", text, err, test.want)
					}
					began := time.Now()
					if _, err := io.Copy(io.Discard, c); err != nil || time.Since(began) > time.Second {
						t.Errorf("the connection ends with %v after %v", err, time.Since(began))
					}
					_ = c.Close()
					if err := errors.Join(v.Shutdown(context.Background()), <-over); err != nil {
						t.Error(err)
					}
					time.Sleep(2 * time.Second)
				})
			})
		}
	}
}

// A client that waits for "100 Continue" before it sends its request is answered
// when nobody wants the request.
func TestAClientThatWaitsToSendIsAnswered(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/none", "/deaf", "/flushes", "/none.v1.Service/Call", echoPath, sumPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := &victim{Server: connectum.New(quiet()), t: t, memory: newMemory()}
				testservice.Service{OnSum: func(context.Context, testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
					return nil, connect.NewError(connect.CodeAborted, "enough")
				}}.Register(v.RPC())
				v.Handle("/deaf", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				v.Handle("/flushes", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }))
				over := make(chan error, 1)
				go func() { over <- v.Serve(context.Background(), v.memory) }()
				synctest.Wait()
				c, contentType := v.dial(), "application/json; charset=none" // which Echo does not read
				if path == sumPath {
					contentType = "application/connect+proto"
				}
				fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n", path, contentType)
				began := time.Now()
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Error(err)
				} else if res.StatusCode == http.StatusContinue && path != echoPath || res.StatusCode != http.StatusContinue && !res.Close {
					t.Errorf("%s, closes %v", res.Status, res.Close)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("answered after %v", took)
				}
				_ = c.Close()
				if err := errors.Join(v.Shutdown(context.Background()), <-over); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Second)
			})
		})
	}
}
