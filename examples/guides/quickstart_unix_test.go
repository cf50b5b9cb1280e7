//go:build unix

package guides_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

func TestTheQuickstartRuns(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	addr, bin := free(t), t.TempDir()
	_, port, _ := strings.Cut(addr, ":")
	guide.Run(t, "../../docs/quickstart.md", guide.Setup{
		Dir:  t.TempDir(),
		Stay: true,
		Env:  []string{"GOWORK=off", "NO_COLOR=1", "GOBIN=" + bin, guide.WithPath(bin), "PORT=" + port},
		Replace: strings.NewReplacer(
			"git clone https://github.com/connectum-go/connectum", "ln -s "+root+" connectum",
			// Under its own name what it compiles to is there from other tests.
			"=../connectum", "="+root,
			"localhost:5000", addr, ":5000", ":"+port),
		Serve: map[string]*regexp.Regexp{
			"./hello":       regexp.MustCompile("server started"),
			"connectum dev": regexp.MustCompile(`\bready\b`),
		},
	})
}
