//go:build !race

// The race detector has pools forget what they hold, so that everything
// allocates more.

package grpcnative_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// plain is the same service on grpc-go alone, with nothing around it.
var plain = grpc.ServiceDesc{
	ServiceName: "connectum.test.v1.TestService",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		req := new(testv1.GetRequest)
		return new(testv1.GetResponse), dec(req)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Count", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		req := new(testv1.CountRequest)
		if err := s.RecvMsg(req); err != nil {
			return err
		}
		for i := range req.GetCount() {
			if err := s.SendMsg(&testv1.CountResponse{Number: int64(i) + 1, Text: req.GetText()}); err != nil {
				return err
			}
		}
		return nil
	}}, {StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			req := new(testv1.ChatRequest)
			if err := s.RecvMsg(req); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&testv1.ChatResponse{Text: req.GetText()}); err != nil {
				return err
			}
		}
	}}},
}

// caller makes calls by grpc-go's client over one connection.
type caller struct{ conn *grpc.ClientConn }

func dialPlain(t *testing.T, addr string) caller {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return caller{conn}
}

func (c caller) get() error {
	return c.conn.Invoke(context.Background(), getPath, &testv1.GetRequest{}, new(testv1.GetResponse))
}

// count receives n messages.
func (c caller) count(n int32) error {
	s, err := c.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, countPath)
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(&testv1.CountRequest{Count: n, Text: "Ada"}), s.CloseSend()); err != nil {
		return err
	}
	return c.rest(s, new(testv1.CountResponse), n)
}

// chat sends n messages, and receives one after each.
func (c caller) chat(n int32) error {
	s, err := c.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chatPath)
	if err != nil {
		return err
	}
	for range n {
		if err := errors.Join(s.SendMsg(&testv1.ChatRequest{Text: "Ada"}), s.RecvMsg(new(testv1.ChatResponse))); err != nil {
			return err
		}
	}
	return errors.Join(s.CloseSend(), c.rest(s, new(testv1.ChatResponse), 0))
}

func (caller) rest(s grpc.ClientStream, msg any, want int32) error {
	for n := int32(0); ; n++ {
		switch err := s.RecvMsg(msg); {
		case errors.Is(err, io.EOF) && n == want:
			return nil
		case err != nil:
			return err
		}
	}
}

// allocations returns how many a run of f takes on all goroutines of the
// process, on average of the best of three.
func allocations(t *testing.T, f func() error) (least float64) {
	t.Helper()
	const runs = 100
	loop := func(n int) {
		for range n {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	loop(30)
	for round := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		loop(runs)
		runtime.ReadMemStats(&after)
		if n := float64(after.Mallocs-before.Mallocs) / runs; round == 0 || n < least {
			least = n
		}
	}
	return least
}

// What the engine, the guard and the handler's API take beside grpc-go alone: the
// client is the same, so that the difference is the servers'.
func TestTheEngineAllocatesNoMoreThanGrpcGoAlone(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	run := connectumtest.Start(t, newServer(quiet(), testservice.Service{}))
	alone := grpc.NewServer()
	alone.RegisterService(&plain, struct{}{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = alone.Serve(l) }()
	t.Cleanup(alone.Stop)
	ours, theirs := dialPlain(t, strings.TrimPrefix(run.URL(), "http://")), dialPlain(t, l.Addr().String())

	const messages = 100
	for _, c := range []struct {
		name string
		call func(c caller, more int32) error
		most float64
	}{
		{"of a unary call", func(c caller, _ int32) error { return c.get() }, -1},
		{"of a message of a server stream", func(c caller, n int32) error { return c.count(1 + n) }, 0},
		{"of a message each way", func(c caller, n int32) error { return c.chat(1 + n) }, -5},
	} {
		// per is the cost of a message: of a long call less that of a short one.
		per := func(who caller) float64 {
			short := allocations(t, func() error { return c.call(who, 0) })
			if c.name == "of a unary call" {
				return short
			}
			return (allocations(t, func() error { return c.call(who, messages) }) - short) / messages
		}
		with, without := per(ours), per(theirs)
		t.Logf("%s: %.2f, %.2f with grpc-go alone", c.name, with, without)
		if with > without+c.most+0.5 {
			t.Errorf("%s: %.2f allocations, %.2f with grpc-go alone; want at most %+v", c.name, with, without, c.most)
		}
	}
}
