//go:build unix

package main

import (
	"regexp"
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

// The program is the test binary; see TestMain.
func TestTheGuideToProjects(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	flags, err := goEnv()
	if err != nil {
		t.Fatal(err)
	}
	guide.Run(t, "../../docs/projects.md", guide.Setup{
		Dir:   t.TempDir(),
		Env:   []string{"NO_COLOR=1", "GOWORK=off", "GOFLAGS=" + flags["GOFLAGS"], "PORT=" + port},
		Serve: map[string]*regexp.Regexp{"connectum dev": regexp.MustCompile(`\bready\b`)},
	})
}
