package connectum_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// attacks are the words by which the rows of the table in docs/security.md begin.
var attacks = []string{
	"Oversized messages", "Gzip bombs", "Large messages at once", "Slow headers", "Slow bodies", "Clients that do not read", "Rapid reset",
	"Floods of PING, SETTINGS, CONTINUATION", "Many streams, connections, calls", "Data that no handler reads", "Header bombs",
	"Deep JSON and proto", "Malformed messages", "Invalid UTF-8", "Unknown codecs and encodings", "Bad timeouts",
	"A handler that ignores its deadline", "Clients that vanish", "Panics before and after the first message", "Collector down",
	"Disk full for certificates", "Clock jumps",
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName = regexp.MustCompile("`((?:[a-z]+\\.)?(?:Test|Fuzz)\\w+)`")
)

// Each attack of the table is held by tests that exist.
func TestEveryAttackIsHeldByATest(t *testing.T) {
	t.Parallel()
	exists := map[string]bool{} // "TestName" of the root, "folder.TestName" elsewhere
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		source, err := os.ReadFile(file)
		prefix := ""
		if dir := path.Dir(filepath.ToSlash(file)); dir != "." {
			prefix = path.Base(dir) + "."
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(source), -1) {
			exists[prefix+m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !exists["TestEveryAttackIsHeldByATest"] || exists["wire.TestEveryAttackIsHeldByATest"] { // the control
		t.Fatal("the tests of the repository are not found")
	}
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			rows[strings.TrimSpace(cells[1])] = cells[3]
		}
		for _, m := range testName.FindAllStringSubmatch(line, -1) {
			if !exists[m[1]] {
				t.Errorf("the page names %s, which is no test", m[1])
			}
		}
	}
	for _, attack := range attacks {
		found := 0
		for name, tests := range rows {
			if strings.HasPrefix(name, attack) && testName.MatchString(tests) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d rows of the page hold %q to tests", found, attack)
		}
	}
	if len(rows) != len(attacks)+2 { // the head, and the line under it
		t.Errorf("%d rows, of which %d are expected", len(rows)-2, len(attacks))
	}
}
