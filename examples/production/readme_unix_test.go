//go:build unix

package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/gen/orders/v1/ordersv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/examples/orders"
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

// serve serves both services on one port and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	db, err := orders.Open(t.Context(), filepath.Join(t.TempDir(), "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	rpc := connect.NewServer()
	greeterv1connect.RegisterGreeterServiceHandler(rpc, greeter.Service{})
	ordersv1connect.RegisterOrderServiceHandler(rpc, orders.NewService(db, orders.NewCache(db)))
	mux := http.NewServeMux()
	connecthttp.Mount(mux, rpc)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, Protocols: &protocols}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
