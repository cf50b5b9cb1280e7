package connectum_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test that sleeps by the clock of the machine is slow, or wrong when that is
// busy. In a bubble of testing/synctest a sleep is exact and takes no time, but no
// linter knows the bubble.
func TestTestsSleepInBubblesAlone(t *testing.T) {
	t.Parallel()
	packages := map[string][]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() != "." && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		packages[filepath.Dir(name)] = append(packages[filepath.Dir(name)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 20 {
		t.Errorf("%d packages have tests; has this one moved?", len(packages))
	}
	for _, files := range packages {
		for _, at := range awake(files) {
			t.Errorf("%s: a sleep outside of synctest.Test: poll with a deadline instead", set.Position(at))
		}
	}
}

func TestSleepsOutsideOfBubblesAreFound(t *testing.T) {
	t.Parallel()
	const source = `package p
func TestAsleep(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }
func TestByHelper(t *testing.T) { bubble(t, func() { pause(); time.Sleep(1) }) }
func bubble(t *testing.T, f func()) { synctest.Test(t, func(t *testing.T) { f() }) }
func pause() { time.Sleep(1) }
func TestAwake(t *testing.T) { pause(); time.Sleep(1) }
func helper() { time.Sleep(1) }
var later = func() { time.Sleep(1) }
func TestBoth(t *testing.T) { helper(); later(); time.Tick(1) }`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p_test.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, at := range awake([]*ast.File{file}) {
		lines = append(lines, set.Position(at).Line)
	}
	if want := []int{6, 7, 8}; !slices.Equal(lines, want) {
		t.Errorf("found on lines %v, want %v", lines, want)
	}
}

// declared is what a declaration of a package names, and where it sleeps.
type declared struct {
	mentions map[string]bool
	sleeps   []token.Pos
	bubble   bool // it makes one, or is named by one that is in one
}

// awake returns where the tests of a package sleep, other than in declarations that
// make a bubble, by themselves or by others of the package, and in those that these
// name.
func awake(files []*ast.File) (at []token.Pos) {
	byName, order := map[string]*declared{}, []*declared{}
	for _, file := range files {
		for _, d := range file.Decls {
			found := &declared{mentions: map[string]bool{}}
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					found.mentions[n.Name] = true
				case *ast.SelectorExpr:
					if of, ok := n.X.(*ast.Ident); ok && of.Name == "time" && n.Sel.Name == "Sleep" {
						found.sleeps = append(found.sleeps, n.Pos())
					}
				}
				return true
			})
			found.bubble = found.mentions["synctest"]
			order = append(order, found)
			switch d := d.(type) {
			case *ast.FuncDecl:
				byName[d.Name.Name] = found
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok {
						for _, name := range v.Names {
							byName[name.Name] = found
						}
					}
				}
			}
		}
	}
	spread := func(from, to func(d, mentioned *declared) *declared) {
		for more := true; more; {
			more = false
			for _, d := range order {
				for name := range d.mentions {
					if other := byName[name]; other != nil && from(d, other).bubble && !to(d, other).bubble {
						to(d, other).bubble, more = true, true
					}
				}
			}
		}
	}
	user := func(d, _ *declared) *declared { return d }
	used := func(_, mentioned *declared) *declared { return mentioned }
	spread(used, user) // whoever makes one by others
	spread(user, used) // and what is called in it
	for _, d := range order {
		if !d.bubble {
			at = append(at, d.sleeps...)
		}
	}
	slices.Sort(at)
	return at
}
