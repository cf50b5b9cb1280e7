package grpcnative

import (
	"net/textproto"
	"testing"
)

// Else a value that came would not be found.
func TestKeysAreSpelledAsConnectDoes(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"content-type", "user-agent", "grpc-accept-encoding", "traceparent", "tracestate"} {
		if got, want := spelled(key), textproto.CanonicalMIMEHeaderKey(key); got != want {
			t.Errorf("%q is spelled %q, want %q", key, got, want)
		}
	}
	if got := spelled(":authority"); got != "Host" {
		t.Errorf("the authority is %q", got)
	}
}
