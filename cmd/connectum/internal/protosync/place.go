package protosync

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Placed is what became of files. All paths are below the folder.
type Placed struct {
	Written   []string
	Unchanged []string
}

// Plan says what Place would do, and refuses what it would refuse.
func Plan(dir string, files map[string][]byte, force bool) (*Placed, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Placed{Written: slices.Sorted(maps.Keys(files))}, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return plan(root, files, force)
}

func plan(root *os.Root, files map[string][]byte, force bool) (*Placed, error) {
	p := new(Placed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		old, err := root.ReadFile(filepath.FromSlash(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, exit.With(exit.Refused, fmt.Errorf("%s is in the way: %w", name, err))
		case bytes.Equal(old, files[name]):
			p.Unchanged = append(p.Unchanged, name)
			continue
		case !force && strings.HasSuffix(name, ".proto") && !bytes.HasPrefix(old, []byte(Marker)):
			return nil, exit.With(exit.Refused, fmt.Errorf("%s was not written by proto sync, and its comments would be lost: --force overwrites it", name))
		}
		p.Written = append(p.Written, name)
	}
	return p, nil
}

// Place writes files below dir, all of them or, when something fails, none: what
// was there before is there again. Files that are the same are left alone. Those
// that somebody else wrote are refused unless force says otherwise. Nothing is
// written outside dir, whatever the names and the links in it.
func Place(dir string, files map[string][]byte, force bool) (*Placed, error) {
	pl := &placer{}
	return pl.place(dir, files, force)
}

// placer undoes what it has done when something fails.
type placer struct {
	rename func(root *os.Root, from, to string) error // nil: the system's; tests fail here

	root *os.Root
	undo []func() error
}

func (pl *placer) place(dir string, files map[string][]byte, force bool) (placed *Placed, err error) {
	made, err := makeDirs(dir)
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDirs(made))
		}
	}()
	if err != nil {
		return nil, err
	}
	if pl.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	defer pl.root.Close()
	if placed, err = plan(pl.root, files, force); err != nil || len(placed.Written) == 0 {
		return placed, err
	}
	temp, err := os.MkdirTemp(dir, ".connectum-sync-")
	if err != nil {
		return nil, err
	}
	temp = filepath.Base(temp)
	defer func() { err = errors.Join(err, pl.root.RemoveAll(temp)) }()
	fresh, old := path.Join(temp, "new"), path.Join(temp, "old")
	for _, name := range placed.Written {
		for _, d := range []string{fresh, old} {
			if err := pl.root.MkdirAll(filepath.FromSlash(path.Dir(path.Join(d, name))), 0o755); err != nil {
				return nil, err
			}
		}
		if err := pl.root.WriteFile(filepath.FromSlash(path.Join(fresh, name)), files[name], 0o644); err != nil {
			return nil, err
		}
	}
	for _, name := range placed.Written {
		if err := pl.one(name, path.Join(fresh, name), path.Join(old, name)); err != nil {
			return nil, pl.back(err)
		}
	}
	return placed, nil
}

// back undoes what was done, the last first.
func (pl *placer) back(err error) error {
	for _, undo := range slices.Backward(pl.undo) {
		err = errors.Join(err, undo())
	}
	return err
}

// one puts a file in place, and keeps what was there.
func (pl *placer) one(name, fresh, old string) error {
	if err := pl.makeParents(name); err != nil {
		return err
	}
	switch _, err := pl.root.Lstat(filepath.FromSlash(name)); {
	case err == nil:
		if err := pl.move(name, old); err != nil {
			return err
		}
		pl.undo = append(pl.undo, func() error { return pl.root.Rename(filepath.FromSlash(old), filepath.FromSlash(name)) })
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := pl.move(fresh, name); err != nil {
		return err
	}
	pl.undo = append(pl.undo, func() error { return pl.root.Remove(filepath.FromSlash(name)) })
	return nil
}

func (pl *placer) move(from, to string) error {
	if pl.rename != nil {
		return pl.rename(pl.root, from, to)
	}
	return pl.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
}

// makeParents makes the folders of a file, one by one, to be able to undo it.
func (pl *placer) makeParents(name string) error {
	parent := ""
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if part == "." {
			return nil
		}
		parent = path.Join(parent, part)
		d := filepath.FromSlash(parent)
		err := pl.root.Mkdir(d, 0o755)
		switch {
		case err == nil:
			pl.undo = append(pl.undo, func() error { return pl.root.Remove(d) })
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return nil
}

// makeDirs makes dir and its parents, and returns those that it made, outermost
// first.
func makeDirs(dir string) (made []string, err error) {
	var missing []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, d)
		if filepath.Dir(d) == d {
			break
		}
	}
	for _, d := range slices.Backward(missing) {
		if err := os.Mkdir(d, 0o755); err != nil {
			return made, err
		}
		made = append(made, d)
	}
	return made, nil
}

func removeDirs(made []string) error {
	for _, d := range slices.Backward(made) {
		if err := os.Remove(d); err != nil {
			return err
		}
	}
	return nil
}
