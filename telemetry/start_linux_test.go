package telemetry_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/telemetry"
)

// With nothing configured nothing is dialled. The control is a listener.
func TestNothingConfiguredOpensNoSocket(t *testing.T) { //nolint:paralleltest // the sockets are those of the process
	sockets := func() map[string]bool {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, e := range entries {
			if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "socket:") {
				found[target] = true
			}
		}
		return found
	}
	before := sockets() // of which those of other tests may close meanwhile
	opened := func() (n int) {
		for s := range sockets() {
			if !before[s] {
				n++
			}
		}
		return n
	}
	tel, err := telemetry.Start(t.Context(), telemetry.Config{ServiceName: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(t.Context()) }()
	if n := opened(); n != 0 {
		t.Errorf("%d sockets opened", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := opened(); n != 1 {
		t.Errorf("the control is not seen: %d sockets opened", n)
	}
}
