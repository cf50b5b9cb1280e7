package grpcnative_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/grpcnative"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// payload is what message i of many holds: of a size and of bytes of its own,
// below and above what is compressed and what buffers are pooled for.
func payload(i int64) []byte {
	n := i * 37 % 1500
	if i%50 == 0 {
		n = 9000
	}
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(i % 7)}, int(n+2)/3)
}

// Messages that wait for their client share memory, and none changes another.
func TestMessagesOfAStreamThatWaitStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	const messages = 3000
	svc := testservice.Service{
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if d := connectum.DoorOf(ctx); d != grpcnative.DoorGRPC {
				t.Errorf("came in by %q", d)
			}
			for i := range int64(messages) {
				if err := s.Send(&testv1.CountResponse{Number: i, Payload: payload(i)}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	run := connectumtest.Start(t, newServer(quiet(), svc))
	for name, options := range map[string][]connecthttp.Option{
		"a client that takes gzip": {connecthttp.WithGRPC()},
		"a client that does not":   {connecthttp.WithGRPC(), connecthttp.WithCompressors()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(run.HTTP2(), run.URL(), options...)))
			stream, err := client.Count(t.Context(), &testv1.CountRequest{})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			for i := range int64(messages) {
				res, err := stream.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if res.GetNumber() != i || !bytes.Equal(res.GetPayload(), payload(i)) {
					t.Fatalf("message %d is not what was sent: number %d, %d bytes", i, res.GetNumber(), len(res.GetPayload()))
				}
			}
			if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}
