//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/connectum-go/connectum/internal/guide"
)

func TestTheGuideToRunningServers(t *testing.T) {
	t.Parallel()
	flags, err := goEnv()
	if err != nil {
		t.Fatal(err)
	}
	addr, bin := production(t), t.TempDir()
	guide.Run(t, "../../docs/cli.md", guide.Setup{
		Dir: "../..",
		Env: []string{guide.WithPath(bin), "GOBIN=" + bin, "GOWORK=off", "GOFLAGS=" + flags["GOFLAGS"], "NO_COLOR=1"},
		Replace: strings.NewReplacer(
			// What takes over a second says so, which is not for the page.
			"connectum doctor localhost:5000", "connectum doctor "+addr+" 2>/dev/null",
			"--duration 5s", "--duration 1s --warmup 0",
			"--dry-run", "--dry-run 2>&1 | grep -v ^asking",
			"localhost:5000", addr),
		Mask: []*regexp.Regexp{
			regexp.MustCompile(`localhost:\d+`), regexp.MustCompile(`main\.go:\d+`), regexp.MustCompile(`\d+ files: `),
		},
	})
}

// production runs the example, and returns its address. When the test ends it
// gets SIGTERM, and has to end cleanly.
func production(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(guide.Tool(t, "../../examples", "./production"), "production"))
	cmd.Env = append(os.Environ(), "PORT=0", "ADMIN_LISTEN=localhost:0", "ORDERS_DB="+filepath.Join(t.TempDir(), "orders.db"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan string, 1), make(chan struct{})
	var told strings.Builder // complete when it has ended
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			told.WriteString(lines.Text() + "\n")
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				ready <- "localhost:" + m[1]
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
	select {
	case addr := <-ready:
		guide.UntilReady(t, addr)
		return addr
	case <-ended:
		t.Fatalf("the example has ended:\n%s", told.String())
	case <-time.After(patience):
		t.Fatalf("the example is not ready after %s", patience)
	}
	return ""
}

var readyLine = regexp.MustCompile(`\bready addr=\S*:(\d+)`)
