package connectum_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"
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

func TestTrafficOfNoCall(t *testing.T) {
	t.Parallel()
	if traffic, ok := connectum.TrafficOf(t.Context()); ok || traffic != (connectum.Traffic{}) {
		t.Errorf("got %v, %t", traffic, ok)
	}
}
