package connectum_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// everything is a program with all that this module has for a server.
const everything = `package main

import (
	"log"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cors"
	"github.com/connectum-go/connectum/debug"
	"github.com/connectum-go/connectum/env"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/reflection"
)

type greeter struct{ testv1connect.UnimplementedTestServiceHandler }

func main() {
	vars, err := env.Load()
	if err != nil {
		log.Fatal(err)
	}
	cfg := vars.Server()
	cfg.Middleware = append(cfg.Middleware, cors.New(cors.Config{Origins: []string{"https://a.example"}}))
	cfg.Interceptors = interceptor.Defaults(interceptor.Config{Log: &interceptor.LogConfig{}})
	srv := connectum.New(cfg)
	testv1connect.RegisterTestServiceHandler(srv.RPC(), greeter{})
	health.Register(srv)
	reflection.Register(srv)
	debug.Register(srv)
	connectum.Main(srv)
}
`

// page is the control.
const page = `package main

import (
	"os"
	"text/template"
)

func main() {
	_ = template.Must(template.New("").Parse("{{.Name}}")).Execute(os.Stdout, os.Stdin)
}
`

// A program in which any method may be called by its name, which templates do,
// keeps every exported method of every type that it uses: a quarter of its size.
func TestNothingKeepsEveryMethodInTheBinary(t *testing.T) {
	t.Parallel()
	if by := keepers(t, page); len(by) == 0 {
		t.Error("templates do not show in what the linker tells")
	}
	for _, by := range keepers(t, everything) {
		t.Errorf("the linker keeps every method because of %s", by)
	}
}

// keepers links a program of this module and returns which functions keep every
// method.
func keepers(t *testing.T, program string) []string {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "internal", "program", "main.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: []byte(program), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"),
		"-ldflags=-dumpdep", "-o", filepath.Join(dir, "program"), "./internal/program")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var told bytes.Buffer
	cmd.Stderr = &told
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%.2000s", cmd.Args, err, told.String())
	}
	var by []string
	for line := range strings.Lines(told.String()) {
		if from, to, edge := strings.Cut(strings.TrimSpace(line), " -> "); edge && strings.HasSuffix(to, "<ReflectMethod>") {
			by = append(by, strings.TrimSuffix(to, " <ReflectMethod>")+", used by "+from)
		}
	}
	return by
}
