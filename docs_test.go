package connectum_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/internal/guide"
)

// commandsSeenElsewhere are pages whose commands no test can run as they stand,
// and why.
var commandsSeenElsewhere = map[string]string{
	"CONTRIBUTING.md":    "the commands are those of .ci/run, which runs them",
	"docs/benchmarks.md": "figures of a machine",
}

// links are those of Markdown that lead into the repository.
var links = regexp.MustCompile(`\]\(([^):#\s]+)(?:#[^)\s]*)?\)`)

// TestDocs holds every page to code that compiles: each block of Go is an excerpt
// of a file that does, and each page with commands is run by a test.
func TestDocs(t *testing.T) {
	t.Parallel()
	var pages, sources []string
	var tests bytes.Buffer
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			pages = append(pages, filepath.ToSlash(path))
		case strings.HasSuffix(path, ".go"):
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sources = append(sources, string(source))
			if strings.HasSuffix(path, "_test.go") {
				tests.Write(source)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 10 || len(sources) < 100 {
		t.Fatalf("%d pages and %d sources; is this the repository?", len(pages), len(sources))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			target := filepath.ToSlash(filepath.Join(filepath.Dir(page), link[1]))
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, link[1])
			}
		}
		if bytes.Contains(text, []byte("\n~~~")) {
			t.Errorf("%s has a fence of tildes, whose block is checked by nobody", page)
		}
		commands := false
		for _, b := range guide.Parse(string(text)) {
			switch b.Lang {
			case "go":
				if !anyExcerpt(sources, b.Text) {
					t.Errorf("%s:%d: no Go file of the repository has this block:\n%s", page, b.Line, b.Text)
				}
			case "sh", "console":
				commands = true
			case "json", "markdown", "proto", "text", "yaml": // what is neither run nor compiled
			case "":
				if strings.HasPrefix(b.Text, "$ ") || strings.HasPrefix(b.Text, "package ") {
					t.Errorf("%s:%d: a block without a language is checked by nobody; call it console or go", page, b.Line)
				}
			default:
				t.Errorf("%s:%d: a block of %s is checked by nobody; call it sh, console or go", page, b.Line, b.Lang)
			}
		}
		if commands && commandsSeenElsewhere[page] == "" && !bytes.Contains(tests.Bytes(), []byte(filepath.Base(page)+`"`)) {
			t.Errorf("%s has commands, and no test names the page to run them", page)
		}
	}
}

// A reader finds every page by following links from the first, and every decision in
// their table, by its title.
func TestEveryPageIsFound(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for todo := []string{"README.md"}; len(todo) > 0; {
		page := todo[0]
		todo = todo[1:]
		if info, err := os.Stat(page); err == nil && info.IsDir() {
			page = filepath.Join(page, "README.md")
		}
		text, err := os.ReadFile(page)
		if err != nil || found[page] || filepath.Ext(page) != ".md" {
			continue // a folder of code, say
		}
		found[page] = true
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			todo = append(todo, filepath.Join(filepath.Dir(page), link[1]))
		}
	}
	pages, _ := filepath.Glob(filepath.Join("docs", "*.md"))
	decisions, _ := filepath.Glob(filepath.Join("docs", "decisions", "2*.md"))
	if len(pages) < 10 || len(decisions) < 10 {
		t.Fatalf("%d pages and %d decisions; is this the repository?", len(pages), len(decisions))
	}
	for _, page := range append(append(pages, decisions...), "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md") {
		if !found[page] {
			t.Errorf("no link leads from README.md to %s", page)
		}
	}
	table, err := os.ReadFile(filepath.Join("docs", "decisions", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range decisions {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		file, title := filepath.Base(page), strings.TrimPrefix(strings.SplitN(string(text), "\n", 2)[0], "# ")
		if row := "| " + file[:len("2006-01-02")] + " | [" + title + "](" + file + ") |"; !strings.Contains(string(table), row) {
			t.Errorf("the table of decisions has no row %s", row)
		}
	}
}

func anyExcerpt(sources []string, block string) bool {
	for _, source := range sources {
		if guide.Excerpt(source, block) {
			return true
		}
	}
	return false
}
