package telemetry_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/telemetry"
)

// With nothing configured nothing is dialled. The control is a listener.
func TestNothingConfiguredOpensNoSocket(t *testing.T) {
	sockets := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "socket:") {
				n++
			}
		}
		return n
	}
	before := sockets()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{ServiceName: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(t.Context()) }()
	if n := sockets(); n != before {
		t.Errorf("%d sockets, %d before", n, before)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := sockets(); n != before+1 {
		t.Errorf("the control is not seen: %d sockets, %d before", n, before)
	}
}
