package grpcnative_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/connectum-go/connectum"

// The engine is written as a stranger's would be: of connectum it imports the
// root alone.
func TestTheEngineImportsTheRootAlone(t *testing.T) {
	t.Parallel()
	for _, line := range list(t, "-f", `{{join .Imports " "}}`, ".") {
		for _, i := range strings.Fields(line) {
			if strings.HasPrefix(i, module+"/") {
				t.Errorf("imports %s", i)
			}
		}
	}
}

// Nothing but what grpc-go brings along is linked.
func TestTheEngineLinksGrpcGoAndWhatThatNeeds(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{
		module: true, module + "/grpcnative": true, "connectrpc.com/connect/v2": true, "google.golang.org/grpc": true,
		"google.golang.org/protobuf": true, "google.golang.org/genproto/googleapis/rpc": true,
		"golang.org/x/net": true, "golang.org/x/sys": true, "golang.org/x/text": true,
	}
	seen := 0
	for _, m := range list(t, "-deps", "-f", `{{with .Module}}{{.Path}}{{end}}`, ".") {
		if m == "" {
			continue
		}
		seen++
		if !allowed[m] {
			t.Errorf("links %s", m)
		}
	}
	if seen == 0 {
		t.Error("saw nothing")
	}
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
