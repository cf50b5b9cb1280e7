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
)

// The commands of a page in a block of sh, and what they print in the block that
// follows at once, if one does.
var readmeBlocks = regexp.MustCompile("(?s)```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?")

// What differs from run to run, and the space that JSON encoders of protobuf
// vary on purpose (see google.golang.org/protobuf/internal/detrand).
var (
	readmeTime  = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	readmeSpace = regexp.MustCompile(`([,:]) +`)
)

func TestReadmeShowsWhatTheCommandsPrint(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t)
	path := buildGrpcurl(t) + string(os.PathListSeparator) + os.Getenv("PATH")
	blocks := readmeBlocks.FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no commands")
	}
	for _, block := range blocks {
		// One line at a time, as one would type them: a failed one is named.
		var got strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(block[1], "localhost:5000", addr)) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
			cmd.Dir = "../.." // the repository, where its README says to stand
			cmd.Env = append(os.Environ(), "PATH="+path)
			cmd.Stderr = &got
			out, err := cmd.Output()
			got.Write(out)
			if !strings.HasSuffix(got.String(), "\n") {
				got.WriteString("\n") // curl ends without one
			}
			if err != nil {
				t.Errorf("%s%v\n%s", line, err, got.String())
			}
		}
		if got, want := normal(got.String()), normal(block[2]); got != want {
			t.Errorf("%sprinted\n%swant\n%s", block[1], got, want)
		}
	}
}

func normal(text string) string {
	text = readmeTime.ReplaceAllString(text, "TIME")
	return strings.TrimSpace(readmeSpace.ReplaceAllString(text, "$1")) + "\n"
}

func buildGrpcurl(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "grpcurl"), "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	cmd.Dir = "../../tools/grpcurl"
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build grpcurl: %v\n%s", err, out)
	}
	return dir
}

// serve runs the program, as a container would, and returns its address. When
// the test ends it gets SIGTERM, and has to end cleanly.
func serve(t *testing.T) string {
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
		if cache, db := strings.Index(all, "hook=cache"), strings.Index(all, "hook=database"); cache < 0 || db < cache {
			t.Errorf("hooks are not in the log in their order:\n%s", all)
		}
	})
	select {
	case addr := <-ready:
		return addr
	case all := <-ended:
		t.Fatalf("the program has ended:\n%s", all)
		return ""
	}
}

var readyLine = regexp.MustCompile(` ready addr=\S*:(\d+)`)
