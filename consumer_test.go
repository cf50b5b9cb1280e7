package connectum_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hello is a consumer's Hello World. Its module stands below the framework's so
// that it may use the service of the tests for one of its own.
const hello = `package main

import (
	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

type greeter struct{ testv1connect.UnimplementedTestServiceHandler }

func main() {
	srv := connectum.New(connectum.Config{Addr: ":5000"})
	testv1connect.RegisterTestServiceHandler(srv.RPC(), greeter{})
	connectum.Main(srv)
}
`

// What a consumer takes in is counted where it is seen: in the modules that are
// linked into a Hello World, and in its go.sum. go-cmp is there for the tests of
// protobuf. (Its module graph, which nobody sees, is that of all packages.)
func TestAHelloWorldTakesInConnectAndProtobufAlone(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	goMod := "module " + module + "/consumer\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n"
	for name, text := range map[string]string{"main.go": hello, "go.mod": goMod} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("mod", "tidy")
	linked := strings.Fields(run("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "."))
	slices.Sort(linked)
	linked = slices.Compact(linked)
	if want := []string{"connectrpc.com/connect/v2", module, module + "/consumer", "google.golang.org/protobuf"}; !slices.Equal(linked, want) {
		t.Errorf("linked are %v, want %v", linked, want)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	var summed []string
	for line := range strings.Lines(string(sums)) {
		path, rest, _ := strings.Cut(line, " ")
		version, _, _ := strings.Cut(rest, " ")
		summed = append(summed, path+strings.TrimLeft(version, "v0123456789.-"))
	}
	want := []string{"connectrpc.com/connect/v2", "connectrpc.com/connect/v2/go.mod", "github.com/google/go-cmp", "github.com/google/go-cmp/go.mod",
		"google.golang.org/protobuf", "google.golang.org/protobuf/go.mod"}
	if !slices.Equal(summed, want) {
		t.Errorf("go.sum has %v, want %v", summed, want)
	}
}
