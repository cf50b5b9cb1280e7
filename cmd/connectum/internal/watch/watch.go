// Package watch tells when files change. It looks instead of being told: that
// works on every file system, shared folders of containers and networks
// included, and misses no folder that is made while it watches.
package watch

import (
	"context"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Interval is how often files are looked at, if that is quick: a look takes at
// most a tenth of the time.
const Interval = 250 * time.Millisecond

// A Tree is folders and which of their files count.
type Tree struct {
	Roots []string
	// Want tells whether a file counts, by its path.
	Want func(file string) bool
	// Skip, which may be nil, tells whether a folder is left out. Those whose
	// names begin with a dot are in any case.
	Skip func(dir string) bool
}

// stamp is what changes when somebody writes a file.
type stamp struct {
	size int64
	time time.Time
	mode fs.FileMode
}

// Snapshot is how files were at one time.
type Snapshot map[string]stamp

// Look looks at the files now. What cannot be read is not there: it may be
// about to be replaced.
func (t *Tree) Look() Snapshot {
	now := make(Snapshot)
	for _, root := range t.Roots {
		// The function below returns no error but that of skipping.
		_ = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				if entry != nil && entry.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if entry.IsDir() {
				if file != root && (strings.HasPrefix(entry.Name(), ".") || t.Skip != nil && t.Skip(file)) {
					return filepath.SkipDir
				}
				return nil
			}
			if !t.Want(file) {
				return nil
			}
			if info, err := entry.Info(); err == nil {
				now[file] = stamp{info.Size(), info.ModTime(), info.Mode()}
			}
			return nil
		})
	}
	return now
}

// Diff returns the files that are not as they were: written, new or gone.
func (s Snapshot) Diff(old Snapshot) []string {
	var changed []string
	for file, now := range s {
		if was, ok := old[file]; !ok || was != now {
			changed = append(changed, file)
		}
	}
	for file := range old {
		if _, ok := s[file]; !ok {
			changed = append(changed, file)
		}
	}
	slices.Sort(changed)
	return changed
}

// Wait waits until files differ from old and have come to rest, that is, are
// the same in two looks: an editor that saves everything, or git, changes many
// one after the other. It returns how they are then, and which differ.
func (t *Tree) Wait(ctx context.Context, old Snapshot) (Snapshot, []string, error) {
	last := maps.Clone(old)
	timer := time.NewTimer(Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return last, nil, ctx.Err()
		case <-timer.C:
		}
		begin := time.Now()
		now := t.Look()
		timer.Reset(max(Interval, 9*time.Since(begin)))
		if len(now.Diff(last)) > 0 {
			last = now
			continue
		}
		if changed := now.Diff(old); len(changed) > 0 {
			return now, changed, nil
		}
	}
}
