package guide_test

import (
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

const page = "# Page\n\n```go\nx := 1\n```\n\n```sh\necho one\n```\n\n```text\none\n```\n\n````md\n```go\nnested\n```\n````\n"

func TestParse(t *testing.T) {
	t.Parallel()
	got := guide.Parse(page)
	want := []guide.Block{
		{Lang: "go", Text: "x := 1\n", Line: 4},
		{Lang: "sh", Text: "echo one\n", Line: 8},
		{Lang: "text", Text: "one\n", Line: 12},
		{Lang: "md", Text: "```go\nnested\n```\n", Line: 16},
	}
	if len(got) != len(want) {
		t.Fatalf("%d blocks, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("block %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	const source = "func f() {\n\ta := 1\n\n\tif a > 0 {\n\t\tb()\n\t}\n}\n"
	for block, want := range map[string]bool{
		"a := 1\nif a > 0 {\n\tb()\n}\n":   true,
		"a := 1\n\nif a > 0 {\n\tb()\n}\n": true,
		"\ta := 1\n":                       true,
		"func f() {\n\t// ...\n}\n":        true,
		"a := 1\n// ...\n":                 true,
		"a := 2\n":                         false,
		"a := 1\nb()\n":                    false,
		"if a > 0 {\nb()\n}\n":             false,
		"func f() {\n\t// ...\n\tc()\n":    false,
	} {
		if got := guide.Excerpt(source, block); got != want {
			t.Errorf("%q: %t", block, got)
		}
	}
}

// recorder notes failures instead of failing.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Error(...any)          { r.failed = true }
