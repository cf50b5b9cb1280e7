package telemetry

import (
	"errors"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
)

// errPanic is what is recorded of a handler that panicked; what it threw is in
// the server's log.
var errPanic = errors.New("panic")

// tally counts what passes through a stream. Both directions may be used at the
// same time.
type tally struct {
	span                     trace.Span // for events; nil without
	measure                  bool       // there is no wire that counts bytes
	received, sent           atomic.Int64
	receivedBytes, sentBytes atomic.Int64
}

func (t *tally) receive(msg any, bytes int) {
	t.receivedBytes.Add(int64(bytes))
	t.event("RECEIVED", t.received.Add(1))
}

func (t *tally) send(msg any, bytes int) {
	t.sentBytes.Add(int64(bytes))
	t.event("SENT", t.sent.Add(1))
}

func (t *tally) event(direction string, n int64) {
	if t.span != nil {
		t.span.AddEvent("rpc.message", trace.WithAttributes(attribute.String("rpc.message.type", direction), attribute.Int64("rpc.message.id", n)))
	}
}

// size is what msg takes in protobuf.
func size(msg any) int {
	if m, ok := msg.(proto.Message); ok {
		return proto.Size(m)
	}
	return 0
}

// serverStream sees the messages of a call of a server where these are events, or
// where there is no server to count them.
type serverStream struct {
	connect.ServerStream
	tally
}

// traffic is what has passed, of a stream that nobody else counts.
func (t *tally) traffic() connectum.Traffic {
	return connectum.Traffic{ReceivedBytes: t.receivedBytes.Load(), SentBytes: t.sentBytes.Load(), Received: t.received.Load(), Sent: t.sent.Load()}
}

func (s *serverStream) Receive(msg any) error {
	err := s.ServerStream.Receive(msg)
	if err == nil {
		n := 0
		if s.measure {
			n = size(msg)
		}
		s.receive(msg, n)
	}
	return err
}

func (s *serverStream) Send(msg any) error {
	n := 0
	if s.measure {
		n = size(msg) // before it is handed over
	}
	err := s.ServerStream.Send(msg)
	if err == nil {
		s.send(msg, n)
	}
	return err
}
