package telemetry_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withoutOTLP is the tag of programs that send nothing to a collector.
const withoutOTLP = "connectum_nootlp"

// starter starts telemetry as its environment says, and says what came of it.
const starter = `package main

import (
	"context"
	"fmt"

	"github.com/connectum-go/connectum/telemetry"
)

func main() {
	tel, err := telemetry.Start(context.Background(), telemetry.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = tel.Shutdown(context.Background())
	fmt.Println("started")
}
`

// The tag takes grpc-go, the messages of OTLP and a third of the modules out.
func TestAProgramWithoutOTLPLinksNeitherItNorGRPC(t *testing.T) {
	t.Parallel()
	linked := func(args ...string) (packages int, modules map[string]bool) {
		out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		modules = map[string]bool{}
		for line := range strings.Lines(string(out)) {
			packages++
			modules[strings.TrimSpace(line)] = true
		}
		return packages, modules
	}
	all, with := linked(".")
	some, without := linked("-tags", withoutOTLP, ".")
	for _, m := range []string{"google.golang.org/grpc", "go.opentelemetry.io/proto/otlp", "github.com/grpc-ecosystem/grpc-gateway/v2", "golang.org/x/net"} {
		if without[m] || !with[m] {
			t.Errorf("%s is linked: %v with the tag, %v without it", m, without[m], with[m])
		}
	}
	if n := len(without) - 1; n > 30 { // one is the standard library, which has no name
		t.Errorf("%d modules are linked", n)
	}
	t.Logf("%d packages of %d modules, without OTLP %d of %d", all, len(with)-1, some, len(without)-1)
}

// A program without OTLP that is told to use it does not start: nothing is lost in
// silence.
func TestAProgramWithoutOTLPSaysSoWhenItIsAskedForIt(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program.exe") // Windows asks for the name
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "internal", "program", "main.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: []byte(starter), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-tags", withoutOTLP, "-o", program, "./internal/program")
	build.Env = append(os.Environ(), "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, text)
	}
	run := func(environ ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append([]string{}, environ...) // and nothing of the test's
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	for _, environ := range [][]string{nil, {"OTEL_METRICS_EXPORTER=prometheus", "OTEL_TRACES_EXPORTER=none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", "OTEL_SDK_DISABLED=true"}} {
		if got := run(environ...); got != "started" {
			t.Errorf("%v: %s", environ, got)
		}
	}
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		got := run("OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
		for _, signal := range []string{"traces", "metrics", "logs"} {
			want := "telemetry: start the otlp exporter of " + signal + ": the program is built with -tags " + withoutOTLP
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q in it", protocol, got, want)
			}
		}
	}
}
