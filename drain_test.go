package connectum_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Behaviour 68: a call in flight ends in its own time, with a context that
// lives, by every door.
func TestCallsInFlightFinishDuringTheStop(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	in := serving(t, quiet(), testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		began <- struct{}{}
		<-release
		return &testv1.EchoResponse{Text: "done"}, ctx.Err()
	}})
	dialects := in.dialects()
	results := make(chan error, len(dialects))
	for _, client := range dialects {
		go func() {
			_, err := testv1connect.NewTestServiceClient(client).Echo(context.Background(), &testv1.EchoRequest{})
			results <- err
		}()
		<-began
	}
	if n := in.InFlight(); n != len(dialects) {
		t.Errorf("%d in flight, want %d", n, len(dialects))
	}
	in.cancel()
	eventually(t, "the stop has begun", func() bool { return in.State() == connectum.StateStopping })
	close(release)
	for range dialects {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := in.wait(); err != nil {
		t.Error(err)
	}
}

// Streams are told, and finish by themselves with what they still have to say.
func TestStreamsThatHeedDrainingEndCleanly(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	in := serving(t, quiet(), testservice.Service{OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
		if err := s.Send(&testv1.CountResponse{Number: 1}); err != nil {
			return err
		}
		began <- struct{}{}
		<-connectum.Draining(ctx)
		return s.Send(&testv1.CountResponse{Number: 2})
	}})
	dialects := in.dialects()
	results := make(chan error, len(dialects))
	for _, client := range dialects {
		go func() {
			stream, err := testv1connect.NewTestServiceClient(client).Count(context.Background(), &testv1.CountRequest{})
			n := 0
			for err == nil {
				if _, err = stream.Receive(); err == nil {
					n++
				}
			}
			if errors.Is(err, io.EOF) && n == 2 {
				err = nil
			}
			results <- err
		}()
		<-began
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	for range dialects {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if connectum.Draining(context.Background()) != nil {
		t.Error("Draining outside a server is not nil")
	}
}

// Behaviours 65 and 70: while the delay lasts the port is open; HTTP/1.1 clients
// are told to leave after it; the idle of both versions hold nothing up.
func TestTheDrainDelayKeepsThePortOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const delay = 5 * time.Second
		cfg := quiet()
		cfg.Shutdown.DrainDelay = delay
		v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory()}
		testservice.Service{}.Register(v.RPC())
		v.Handle("/held", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-connectum.Draining(r.Context()) }))
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(ctx, v.memory) }()
		synctest.Wait()
		for _, two := range []bool{false, true} { // leaves idle connections
			if got := body(t, post(t, v.http(two), "http://localhost/connectum.test.v1.TestService/Echo", "application/json", "{}")); got != "{}" {
				t.Fatal(got)
			}
		}
		closed := make(chan bool, 1)
		go func() {
			res, err := v.http(false).Get("http://localhost/held")
			if err != nil {
				t.Error(err)
				closed <- false
				return
			}
			_ = res.Body.Close()
			closed <- res.Close
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		time.Sleep(delay - time.Millisecond)
		synctest.Wait()
		if v.State() != connectum.StateStopping || len(closed) > 0 {
			t.Errorf("during the delay: %v, and the held request has ended: %v", v.State(), len(closed) > 0)
		}
		if got := body(t, post(t, v.http(false), "http://localhost/connectum.test.v1.TestService/Echo", "application/json", "{}")); got != "{}" {
			t.Errorf("a new connection during the delay is answered %q", got)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if !<-closed {
			t.Error("an HTTP/1.1 answer during the drain does not say Connection: close")
		}
		if took := time.Since(began); took < delay || took > delay+3*time.Second { // idle connections have two
			t.Errorf("the stop took %v, want the delay of %v and little more", took, delay)
		}
	})
}

// A connection that says nothing does not hold up the stop (net/http alone
// waits 5 s for it).
func TestSilentConnectionsDoNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	for _, engine := range []bool{false, true} {
		stopping(t, false, engine, func(v *victim, _ *tls.Config) {
			for range 3 {
				v.dial()
			}
			synctest.Wait()
			began := time.Now()
			if err := v.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the stop took %v", took)
			}
		})
	}
}

// Nothing is lost by a stop under load, whatever the protocol: every call that
// the server took is answered.
func TestAStopUnderLoadAnswersEveryCallItTook(t *testing.T) {
	t.Parallel()
	cfg := quiet()
	cfg.Shutdown.DrainDelay = 100 * time.Millisecond
	var took, answered atomic.Int64
	in := serving(t, cfg, testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		took.Add(1)
		return &testv1.EchoResponse{Text: "x"}, nil
	}})
	done := make(chan struct{}, 100)
	dialects := in.dialects()
	delete(dialects, "in-process")
	for _, c := range dialects {
		client := testv1connect.NewTestServiceClient(c)
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				if _, err := client.Echo(context.Background(), &testv1.EchoRequest{}); err != nil {
					return // the server is gone
				}
				answered.Add(1)
			}
		}()
	}
	eventually(t, "load", func() bool { return answered.Load() > 200 })
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	for range dialects {
		<-done
	}
	t.Logf("%d calls taken, %d answered", took.Load(), answered.Load())
	if took.Load() != answered.Load() {
		t.Errorf("%d calls were taken and %d answered", took.Load(), answered.Load())
	}
}

// A call that comes while the server closes, and is still in flight when it has
// closed its listeners, ends in its own time: with a listener of the system's own,
// whose second closing is an error, and with an engine.
func TestACallThatComesWhileTheServerClosesEndsWell(t *testing.T) {
	t.Parallel()
	for _, engine := range []bool{false, true} {
		began, release := make(chan struct{}), make(chan struct{})
		cfg := quiet()
		cfg.Limits.HeaderTimeout = time.Minute // the machine may be busy
		srv := connectum.New(cfg)
		testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			close(began)
			<-release
			return &testv1.EchoResponse{Text: "done"}, ctx.Err()
		}}.Register(srv.RPC())
		if engine {
			srv.AddEngine(new(toy).engine())
		}
		in := run(t, srv)
		c, err := net.Dial("tcp", in.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const head, rest = "POST " + echoPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-", "Length: 2\r\n\r\n{}"
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the header is being read", func() bool { return in.InFlight() == 0 && in.State() == connectum.StateRunning })
		in.cancel()
		eventually(t, "nothing more is accepted", func() bool {
			c, err := net.Dial("tcp", in.Addr().String())
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		if _, err := io.WriteString(c, rest); err != nil {
			t.Fatal(err)
		}
		<-began
		<-time.After(300 * time.Millisecond) // the listeners are closed, and all that waits
		close(release)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("engine %v: %v, %v", engine, res, err)
		}
		if err := in.wait(); err != nil {
			t.Errorf("engine %v: the stop: %v", engine, err)
		}
	}
}
