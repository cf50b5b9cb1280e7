package wire_test

import (
	"os"
	"testing"

	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleServer) != "" { // this process is one that idle_test.go started
		os.Exit(m.Run()) //nolint:forbidigo // it is the main of a test
	}
	leak.Main(m)
}
