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

// What docs/environment.md shows in Go. It is compiled and not run: it would set
// the tests' own logger. TestLogLinesOfAProcess runs the like of it.
var _ = func() *connectum.Server {
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

func TestTheGuideShowsAReport(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/environment.md")
	if err != nil {
		t.Fatal(err)
	}
	report := env.ParseFrom(new(settings), map[string]string{"PORT": "70000", "TLS_CERT": "guide_test.go", "SHUTDOWN_TIMEOUT": "25", "WORKERS": "100",
		"TLS_KEY": `-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----`})
	if !strings.Contains(string(page), "```text\n"+fmt.Sprint(report)+"\n```") {
		t.Errorf("the guide lacks\n%v", report)
	}
}
