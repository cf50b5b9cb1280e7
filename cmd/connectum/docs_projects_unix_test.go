//go:build unix

package main

import (
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

func TestTheGuideToProjects(t *testing.T) {
	t.Parallel()
	guide.Run(t, "../../docs/projects.md", guide.Setup{
		Dir: t.TempDir(),
		Env: []string{guide.WithPath(guide.Tool(t, ".", ".")), "NO_COLOR=1", "GOWORK=off"},
	})
}
