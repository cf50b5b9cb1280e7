package connectum_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A peer that is gone without a word, with a call in flight, is found by pings;
// so is one that leaves a header block open, which no PING may interrupt.
func TestDeadPeersAreCut(t *testing.T) {
	t.Parallel()
	svc := func(v *victim) testservice.Service {
		return testservice.Service{OnChat: func(ctx context.Context, _ testv1connect.TestServiceChatServerStream) error {
			<-ctx.Done()
			v.ended <- context.Cause(ctx)
			return ctx.Err()
		}}
	}
	attacked(t, connectum.Config{}, svc, func(v *victim) {
		p := attack.HTTP2(v.t, v.dial(), 1<<20)
		p.Acknowledge()
		if err := p.Send(attack.Post(1, chatPath, "application/grpc+proto")); err != nil {
			v.t.Fatal(err)
		}
		began := time.Now()
		<-v.ended
		if took := time.Since(began); took != 45*time.Second {
			t.Errorf("the handler was held for %v, want 30s and 15s", took)
		}
	})
	attacked(t, connectum.Config{}, svc, func(v *victim) {
		p := attack.HTTP2(v.t, v.dial(), 1<<20)
		p.Acknowledge()
		open := attack.Post(1, chatPath, "application/grpc+proto")
		open.Flags = 0
		if err := p.Send(open); err != nil {
			v.t.Fatal(err)
		}
		if took := closedAfter(p); took != 45*time.Second {
			t.Errorf("an open header block was held for %v, want 30s and 15s", took)
		}
	})
	// The control: one that answers pings stays.
	attacked(t, connectum.Config{}, svc, func(v *victim) {
		p := attack.HTTP2(v.t, v.dial(), 1<<20)
		p.Acknowledge()
		if err := p.Send(attack.Post(1, chatPath, "application/grpc+proto")); err != nil {
			v.t.Fatal(err)
		}
		go p.Leave(time.Now())
		select {
		case err := <-v.ended:
			t.Errorf("a stream of a living peer ended: %v", err)
		case <-time.After(10 * time.Minute):
		}
		_ = p.Close()
		<-v.ended
	})
}

// Clients that vanish, in whatever state their call is, hold nothing.
func TestClientsThatVanishHoldNothing(t *testing.T) {
	t.Parallel()
	waits := func(ctx context.Context, ended chan<- error) error {
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	for _, d := range handmade {
		for _, two := range []bool{false, true} {
			if d.two && !two {
				continue
			}
			for _, stage := range []string{"half a request", "waiting", "reading"} {
				t.Run(fmt.Sprintf("%s/two=%v/%s", d.name, two, stage), func(t *testing.T) {
					t.Parallel()
					svc := func(v *victim) testservice.Service {
						return testservice.Service{
							OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
								return nil, waits(ctx, v.ended)
							},
							OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
								if stage == "reading" {
									if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
										return err
									}
								}
								return waits(ctx, v.ended)
							},
						}
					}
					attacked(t, connectum.Config{}, svc, func(v *victim) {
						path := d.method()
						if stage == "reading" {
							if !d.stream {
								return
							}
							path = countPath
						}
						message := d.body(0, nil)
						if d.name == "connect json" {
							message = []byte("{}")
						}
						var c net.Conn
						if two {
							p := attack.HTTP2(v.t, v.dial(), 1<<20)
							p.Acknowledge()
							data := attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: 1, Payload: message}
							if stage == "half a request" {
								data.Flags, data.Payload = 0, append(message, 1)[:1]
							}
							if err := p.Send(attack.Post(1, path, d.contentType), data); err != nil {
								v.t.Fatal(err)
							}
							c = p
						} else {
							c = v.dial()
							length := len(message)
							if stage == "half a request" {
								length += 100
							}
							fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, d.contentType, length, message)
						}
						synctest.Wait()
						if n := v.InFlight(); n != 1 {
							t.Errorf("%d calls in flight, want that of the client", n)
						}
						began := time.Now()
						_ = c.Close()
						if stage != "half a request" {
							<-v.ended
						}
						for v.InFlight() > 0 && time.Since(began) < time.Minute {
							time.Sleep(10 * time.Millisecond)
						}
						if took := time.Since(began); took > 100*time.Millisecond {
							t.Errorf("the call was held for %v", took)
						}
					})
				})
			}
		}
	}
}
