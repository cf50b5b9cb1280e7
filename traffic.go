package connectum

import "context"

// Traffic is what a call has carried so far, in bytes on the wire: the bodies
// with the envelopes of the protocol, compressed as they were, without headers,
// trailers and what HTTP adds. Sent bytes count when they are handed over, not
// when the client has them.
type Traffic struct {
	ReceivedBytes int64
	SentBytes     int64
}

// TrafficOf returns the traffic of the call whose context ctx is. It reports
// false when ctx belongs to no call of a [Server], and for calls without a
// wire: those of [Server.Transport]. It is safe for concurrent use.
func TrafficOf(ctx context.Context) (Traffic, bool) {
	c := callOf(ctx)
	if c == nil || c.door == DoorInProcess || c.door == "" {
		return Traffic{}, false
	}
	return Traffic{ReceivedBytes: c.bytesIn.Load(), SentBytes: c.bytesOut.Load()}, true
}
