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

	"github.com/connectum-go/connectum/internal/guide"
)

// What differs from run to run.
var (
	readmeTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	readmeID   = regexp.MustCompile(`internal error, id [a-z0-9]+`)
)

func TestReadmeShowsWhatTheCommandsPrint(t *testing.T) {
	t.Parallel()
	addr, admin := serve(t)
	guide.Run(t, "README.md", guide.Setup{
		Dir:     "../..", // the repository, where its README says to stand
		Env:     []string{guide.WithPath(guide.Tool(t, "../../tools/grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl"))},
		Replace: strings.NewReplacer("localhost:5000", addr, "localhost:9090", admin),
		Mask:    []*regexp.Regexp{readmeTime, readmeID},
	})
}

// serve runs the program, as a container would, and returns its addresses. When
// the test ends it gets SIGTERM, and has to end cleanly.
func serve(t *testing.T) (addr, admin string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "production")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "PORT=0", "ADMIN_LISTEN=localhost:0", "ORDERS_DB="+filepath.Join(t.TempDir(), "orders.db"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(log); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := startedLine.FindStringSubmatch(lines.Text()); m != nil {
				admin = "localhost:" + m[1] // before ready
			}
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				ready <- "localhost:" + m[1]
			}
		}
		ended <- all.String()
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		all := <-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
		// The hooks ran in their order.
		if cache, db, tel := strings.Index(all, "hook=cache"), strings.Index(all, "hook=database"), strings.Index(all, "hook=telemetry"); cache < 0 || db < cache || tel < db {
			t.Errorf("hooks are not in the log in their order:\n%s", all)
		}
	})
	select {
	case addr := <-ready:
		return addr, admin
	case all := <-ended:
		t.Fatalf("the program has ended:\n%s", all)
		return "", ""
	}
}

var (
	readyLine   = regexp.MustCompile(` msg=ready addr=\S*:(\d+)`)
	startedLine = regexp.MustCompile(` msg="server started" .* admin=\S*:(\d+)`)
)
