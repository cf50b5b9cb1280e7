package telemetry_test

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

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

// The host, the container and the process are looked at where a provider of ours
// tells of them, which takes files to be read; a start with others does without.
func TestProvidersThatAreGivenAreNotDescribed(t *testing.T) {
	given := telemetry.Config{TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: sdkmetric.NewMeterProvider(), Logs: telemetry.None}
	ours := given
	ours.MeterProvider = nil
	starts := func(cfg telemetry.Config) float64 {
		return testing.AllocsPerRun(20, func() {
			tel, err := telemetry.Start(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			_ = tel.Shutdown(context.Background())
		})
	}
	few, more := starts(given), starts(ours)
	t.Logf("%v allocations with providers that are given, %v with one of ours", few, more)
	// A provider of ours takes some forty; to describe the process a hundred.
	if more-few < 100 {
		t.Errorf("a start with providers that are given makes %v allocations, one with ours %v", few, more)
	}
}
