//go:build unix

// Package restart_test proves what a deploy costs: real processes, which are
// this test binary run anew, behind a balancer or alone, and load from every
// kind of client while they are told to stop.
package restart_test

import (
	"os"
	"testing"

	"github.com/connectum-go/connectum/internal/leak"
)

// serverKey is the variable of the environment that makes the test binary the
// server of that name.
const serverKey = "CONNECTUM_TEST_SERVER"

func TestMain(m *testing.M) {
	if name := os.Getenv(serverKey); name != "" {
		servers[name]()
		return
	}
	leak.Main(m)
}
