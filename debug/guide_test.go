package debug_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/debug"
)

// What docs/debug.md shows is here, word for word.
func guide() *connectum.Server {
	runtime.SetMutexProfileFraction(100)   // one of 100 events
	runtime.SetBlockProfileRate(1_000_000) // one event for each millisecond of waiting

	srv := connectum.New(connectum.Config{AdminAddr: "localhost:9090"})
	debug.Register(srv)
	return srv
}

func TestTheGuideRuns(t *testing.T) {
	if err := guide().Check(); err != nil {
		t.Error(err)
	}
	page, err := os.ReadFile("../docs/debug.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(language string, n int) (out []string) {
		for _, b := range strings.Split(string(page), "```"+language+"\n")[1:] {
			code, _, _ := strings.Cut(b, "```")
			out = append(out, code)
		}
		if len(out) != n {
			t.Errorf("%d blocks of %s in the guide; has it moved?", len(out), language)
		}
		return out
	}
	for _, code := range blocks("go", 2) {
		if !strings.Contains(strings.ReplaceAll(string(source), "\n\t", "\n"), code) {
			t.Errorf("not in guide_test.go:\n%s", code)
		}
	}
	r, dir := start(t), t.TempDir()
	for _, code := range blocks("sh", 2) {
		for line := range strings.Lines(strings.ReplaceAll(code, "http://localhost:9090", r.admin)) {
			cmd := exec.CommandContext(t.Context(), "sh", "-ec", line)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PPROF_TMPDIR="+dir)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 && !strings.Contains(line, " -o ") {
				t.Errorf("%s%v\n%s", line, err, out)
			}
		}
	}
}
