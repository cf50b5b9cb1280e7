package connectum

import (
	"context"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// Traffic is what a call has carried so far. Bytes are those on the wire: the
// bodies with the envelopes of the protocol, compressed as they were, without
// headers, trailers and what HTTP adds. Where there is no wire they are those of
// the messages in protobuf. What is sent counts when it is handed over, not when
// the client has it.
type Traffic struct {
	ReceivedBytes int64
	SentBytes     int64

	// Received and Sent are the messages of a stream, when they are counted: see
	// [CountMessages]. Those of unary calls are not.
	Received int64
	Sent     int64
}

// TrafficOf returns the traffic of the call whose context ctx is. It reports
// false when ctx belongs to no call of a [Server], and for calls without a
// wire, those of [Server.Transport], whose messages are not counted. It is safe
// for concurrent use.
func TrafficOf(ctx context.Context) (Traffic, bool) {
	c := callOf(ctx)
	if c == nil || c.messages.Load() == nil && !c.wired() {
		return Traffic{}, false
	}
	if c.duplex != nil {
		return c.duplex.traffic(), true
	}
	t := Traffic{ReceivedBytes: c.bytesIn.Load(), SentBytes: c.bytesOut.Load()}
	if m := c.messages.Load(); m != nil && m != &c.server.uncounted {
		t.Received, t.Sent = m.received.Load(), m.sent.Load()
	}
	return t, true
}

// CountMessages makes the server count the messages of the call that ctx belongs
// to, for [TrafficOf]: how many a stream has, and how many bytes they are where
// there is no wire. It is for interceptors that would wrap the stream for that
// alone, and must be called before they call the rest of the chain. It reports
// false when ctx belongs to no call of a [Server].
func CountMessages(ctx context.Context) bool {
	c := callOf(ctx)
	if c == nil || c.parent == nil { // not an RPC
		return false
	}
	if c.messages.Load() != nil {
		return true
	}
	c.counts = c.duplex == nil
	if c.counts && c.streams != connect.StreamTypeUnary {
		c.messages.Store(new(messageCounts))
	} else {
		c.messages.Store(&c.server.uncounted)
	}
	return true
}

// messageCounts are those of a stream. Both directions may be used at the same
// time.
type messageCounts struct{ received, sent atomic.Int64 }

// wired reports whether the bytes of c are counted as they pass.
func (c *call) wired() bool { return c.door != DoorInProcess && c.door != "" }

// countReceived counts a message that the handler gets.
func (c *call) countReceived(msg any) {
	if c.streams != connect.StreamTypeUnary {
		c.messages.Load().received.Add(1)
	}
	if !c.wired() {
		c.bytesIn.Add(sizeOf(msg))
	}
}

// sendCounted sends a message, and counts it when it has been handed over.
func (c *call) sendCounted(msg any) error {
	var size int64
	if !c.wired() {
		size = sizeOf(msg) // before it is handed over
	}
	if err := c.stream.Send(msg); err != nil {
		return c.sendError(err)
	}
	if size > 0 {
		c.bytesOut.Add(size)
	}
	if c.streams != connect.StreamTypeUnary {
		c.messages.Load().sent.Add(1)
	}
	return nil
}

// sizeOf is what msg takes in protobuf.
func sizeOf(msg any) int64 {
	if m, ok := msg.(proto.Message); ok {
		return int64(proto.Size(m))
	}
	return 0
}
