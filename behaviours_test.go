package connectum_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
)

// elsewhere are the behaviours that no test of these packages holds, and why.
// Those from 121 to 156 are of telemetry, which has its own module, and of what
// is to come: authentication and events.
var elsewhere = map[int]string{
	11: "an event bus is to come", 12: "an event bus is to come", 13: "an event bus is to come",
	34: "HTTP/2 is never off, so there is always a door for bidi streams", 35: "as 34",
	42: "only a connect.Error is told, so there is nothing to tell apart",
	51: "a catalogue of services is to come", 52: "a catalogue is to come", 53: "a catalogue is to come", 56: "a catalogue is to come",
	60: "a catalogue is to come", 61: "a catalogue is to come", 62: "a catalogue is to come", 63: "a catalogue is to come",
	109: "a checker lives as long as its server and is made once",
}

// behaviours are named in the comments of tests: "Behaviours 87 and 88: ...".
var behaviours = regexp.MustCompile(`(?i)\bbehaviours? (\d+(?:(?:, | and )\d+)*)`)

// Each behaviour that applies is held by a test that names it.
func TestEveryBehaviourIsHeldByATest(t *testing.T) {
	t.Parallel()
	held := map[int][]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "behaviours_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range behaviours.FindAllStringSubmatch(string(text), -1) {
			for _, number := range regexp.MustCompile(`\d+`).FindAllString(m[1], -1) {
				n, _ := strconv.Atoi(number)
				held[n] = append(held[n], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 159; n++ {
		switch why := elsewhere[n]; {
		case n > 120 && n < 157:
		case why == "" && len(held[n]) == 0:
			t.Errorf("behaviour %d is held by no test", n)
		case why != "" && len(held[n]) > 0:
			t.Errorf("behaviour %d is held by %v, and left out because %s", n, held[n], why)
		}
	}
}

// Each field of Limits stands in the table of attack_test.go, with tests that are
// there.
func TestEveryLimitIsAttacked(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("attack_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "by field of Limits:\n")
	table, _, _ = strings.Cut(table, "\n//\n// Floods")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[connectum.Limits]()) {
		if !regexp.MustCompile(`\b` + f.Name + `\b`).MatchString(table) {
			t.Errorf("Limits.%s is not in the table", f.Name)
		}
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	names := regexp.MustCompile(`\bTest\w+`).FindAllString(table, -1)
	if len(names) < 15 {
		t.Errorf("the table names %d tests", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("%s does not exist", name)
		}
	}
}
