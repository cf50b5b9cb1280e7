package cli_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/cli"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// It goes on after a mistake, and ends well by Ctrl-C.
func TestGenerateWatchFollowsTheProtos(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		// Whole at once, or the watch may see it empty, and then once more.
		part := filepath.Join(dir, "part")
		if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(part, file); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/a\n\ngo 1.26.0\n\nrequire google.golang.org/protobuf v1.36.12\n")
	write("proto/a/v1/a.proto", "syntax = \"proto3\";\npackage a.v1;\nmessage One {}\n")
	ctx, cancel := context.WithCancel(t.Context())
	shown, out := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{"generate", "--watch"}, &term.IO{Dir: dir, Out: out, Err: out, Env: os.Getenv})
		out.Close()
	}()
	lines := bufio.NewScanner(shown)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("it ends before %q", want)
	}
	until("wrote gen/a/v1/a.pb.go")
	until("watching for changes")
	write("proto/a/v1/a.proto", "syntax = \"proto3\";\npackage a.v1;\nmessage One { Two two = 1; }\n")
	until("proto/a/v1/a.proto:3:15: error: field a.v1.One.two: unknown type Two")
	until("watching for changes")
	write("proto/a/v1/two.proto", "syntax = \"proto3\";\npackage a.v1;\nmessage Two {}\n")
	write("proto/a/v1/a.proto", "syntax = \"proto3\";\npackage a.v1;\nimport \"a/v1/two.proto\";\nmessage One { Two two = 1; }\n")
	until("wrote gen/a/v1/two.pb.go")
	until("watching for changes")
	cancel()
	for lines.Scan() {
		t.Errorf("it shows %q after the end", lines.Text())
	}
	if got := <-code; got != exit.OK {
		t.Errorf("exit code %d", got)
	}
}
