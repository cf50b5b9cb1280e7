package env_test

import (
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/env"
)

// What docs/environment.md shows is here, word for word.

func guide() *connectum.Server {
	cfg, err := env.Load()
	if err != nil {
		log.Fatal(err) // every mistake at once
	}
	slog.SetDefault(cfg.Logger(os.Stderr))
	srv := connectum.New(cfg.Server())
	return srv
}

type settings struct {
	env.Config
	Database string       `env:"DATABASE_URL,required" help:"Where the orders are."`
	Workers  env.Count    `env:"WORKERS" envDefault:"4" min:"1" max:"64"`
	Lease    env.Duration `env:"LEASE" envDefault:"30s" max:"1h"`
}

func TestTheGuideShowsWhatRuns(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/environment.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_ = guide // compiled, and not run: it would set the tests' own logger
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) != 2 {
		t.Errorf("%d blocks of Go in the guide; has it moved?", len(blocks))
	}
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```")
		if !strings.Contains(string(source), code) && !strings.Contains(strings.ReplaceAll(string(source), "\n\t", "\n"), code) {
			t.Errorf("not in guide_test.go:\n%s", code)
		}
	}
	report := env.ParseFrom(new(settings), map[string]string{"PORT": "70000", "TLS_CERT": "guide_test.go", "SHUTDOWN_TIMEOUT": "25", "WORKERS": "100",
		"TLS_KEY": `-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----`})
	if !strings.Contains(string(page), "```text\n"+fmt.Sprint(report)+"\n```") {
		t.Errorf("the guide lacks\n%v", report)
	}
}
