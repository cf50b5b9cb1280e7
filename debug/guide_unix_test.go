//go:build unix

package debug_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/debug"
	"github.com/connectum-go/connectum/internal/guide"
)

// What docs/debug.md shows in Go.
func page() *connectum.Server {
	runtime.SetMutexProfileFraction(100)   // one of 100 events
	runtime.SetBlockProfileRate(1_000_000) // one event for each millisecond of waiting

	srv := connectum.New(connectum.Config{AdminAddr: "localhost:9090"})
	debug.Register(srv)
	return srv
}

func TestTheGuideRuns(t *testing.T) { //nolint:paralleltest // a process has one CPU profile at a time
	if err := page().Check(); err != nil {
		t.Error(err)
	}
	r, dir := start(t), t.TempDir()
	guide.Run(t, "../docs/debug.md", guide.Setup{
		Dir: dir, Env: []string{"PPROF_TMPDIR=" + dir}, Replace: strings.NewReplacer("http://localhost:9090", r.admin),
	})
}
