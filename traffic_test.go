package connectum_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// TestTrafficIsWhatTheWireCarries compares what the innermost interceptor sees
// when the handler has returned with the sizes that the protocols prescribe.
func TestTrafficIsWhatTheWireCarries(t *testing.T) {
	t.Parallel()
	var seen atomic.Pointer[connectum.Traffic]
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{connectum.Wrap("look",
		func(next connect.ServerFunc) connect.ServerFunc {
			return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
				err := next(ctx, spec, stream)
				if traffic, ok := connectum.TrafficOf(ctx); ok {
					seen.Store(&traffic)
				}
				return err
			}
		})}})
	testv1connect.RegisterTestServiceHandler(srv.RPC(), testservice.Service{})

	text := strings.Repeat("a", 300)
	unary, count := &testv1.EchoRequest{Text: text}, &testv1.CountRequest{Count: 3}
	doors.Each(t, srv, func(t *testing.T, client *connect.Client) {
		c := testv1connect.NewTestServiceClient(client)
		seen.Store(nil)
		res, err := c.Echo(t.Context(), unary)
		if err != nil {
			t.Fatal(err)
		}
		got := seen.Load()
		if strings.Contains(t.Name(), "process") != (got == nil) {
			t.Fatalf("traffic %v", got)
		}
		if got == nil {
			return
		}
		// One envelope of 5 bytes at most; JSON is longer than proto by the
		// name of the field.
		for what, size := range map[string][2]int{
			"received": {int(got.ReceivedBytes), proto.Size(unary)}, "sent": {int(got.SentBytes), proto.Size(res)},
		} {
			if more := size[0] - size[1]; more < 0 || more > 16 {
				t.Errorf("unary: %s %d bytes for a message of %d", what, size[0], size[1])
			}
		}

		stream, err := c.Count(t.Context(), count)
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		for {
			msg, err := stream.Receive()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				break
			}
			sent += 5 + proto.Size(msg)
		}
		got = seen.Load()
		if less := sent - int(got.SentBytes); less > 0 {
			t.Errorf("server stream: sent %d bytes of at least %d", got.SentBytes, sent)
		}
		if got.SentBytes > int64(sent)+64 {
			t.Errorf("server stream: sent %d bytes for %d", got.SentBytes, sent)
		}
	})
}

// Messages are counted where an interceptor asks for it; where there is no wire
// their bytes are too. Control: nothing is where nobody asks, see above.
func TestMessagesAreCountedWhenAsked(t *testing.T) {
	t.Parallel()
	seen := make(chan connectum.Traffic, 2)
	count := connectum.Wrap("count", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			if !connectum.CountMessages(ctx) {
				t.Error("no call")
			}
			err := next(ctx, spec, stream)
			traffic, ok := connectum.TrafficOf(ctx)
			if !ok {
				t.Errorf("%s: no traffic", spec.Procedure)
			}
			seen <- traffic
			return err
		}
	})
	srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{count, count}}) // twice is once
	testservice.Service{}.Register(srv.RPC())
	msg := &testv1.ChatRequest{Text: strings.Repeat("a", 30)}
	doors.EachBidi(t, srv, func(t *testing.T, client *connect.Client) {
		c, inProcess := testv1connect.NewTestServiceClient(client), strings.Contains(t.Name(), "process")
		check := func(what string, received, sent int64, messages ...proto.Message) {
			t.Helper()
			got := <-seen
			if again := <-seen; again != got {
				t.Errorf("%s: %+v inside, %+v outside", what, got, again)
			}
			if got.Received != received || got.Sent != sent {
				t.Errorf("%s: %+v, want %d received and %d sent", what, got, received, sent)
			}
			least := int64(0)
			for _, m := range messages {
				least += int64(proto.Size(m))
			}
			all := got.ReceivedBytes + got.SentBytes
			if all < least || inProcess && all != least {
				t.Errorf("%s: %d bytes for messages of %d", what, all, least)
			}
		}

		req := &testv1.EchoRequest{Text: "Ada"}
		res, err := c.Echo(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		check("unary", 0, 0, req, res)

		chat, err := c.Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var messages []proto.Message
		for range 3 {
			if err := chat.Send(msg); err != nil {
				t.Fatal(err)
			}
			got, err := chat.Receive()
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, msg, got)
		}
		if err := chat.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		check("bidi", 3, 3, messages...)
	})

	// A transport of the user's own has no wire that is known of.
	c := testv1connect.NewTestServiceClient(connect.NewClient(connectinprocess.New(srv.RPC())))
	req := &testv1.EchoRequest{Text: "Ada"}
	if _, err := c.Echo(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	<-seen
	if got := <-seen; got.ReceivedBytes != int64(proto.Size(req)) {
		t.Errorf("%+v, want %d bytes", got, proto.Size(req))
	}
}

func TestTrafficOfNoCall(t *testing.T) {
	t.Parallel()
	if connectum.CountMessages(t.Context()) {
		t.Error("there is nothing to count")
	}
	if traffic, ok := connectum.TrafficOf(t.Context()); ok || traffic != (connectum.Traffic{}) {
		t.Errorf("got %v, %t", traffic, ok)
	}
}
