package generate

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const protobuf = "google.golang.org/protobuf"

// program returns an executable of a pinned generator, in the release that
// go.mod requires. Asking the go command costs more than half a second of CPU
// time, so what it built is kept in the cache of the user. done removes what is
// not kept.
func (g *generator) program(ctx context.Context, name string) (file string, done func(), err error) {
	known := pinned[name]
	version, runtimeVersion := g.project.Version(known.module), g.project.Version(protobuf)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	kept := ""
	if cache, err := os.UserCacheDir(); err == nil && version != "" && runtimeVersion != "" {
		kept = filepath.Join(cache, "connectum", "plugins", version+"-protobuf-"+runtimeVersion, name)
		if isBuilt(kept, known.pkg, version, runtimeVersion) {
			return kept, func() {}, nil
		}
	}
	defer g.progress("building %s", name)()
	dir, err := os.MkdirTemp("", "connectum-plugin-")
	if err != nil {
		return "", nil, err
	}
	done = func() { _ = os.RemoveAll(dir) } // a leftover of the temporary folder at worst
	file = filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, known.pkg)
	cmd.Dir = g.project.Dir
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	if err := cmd.Run(); err != nil {
		done()
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		return "", nil, fmt.Errorf("go build %s: %w\n%s", known.pkg, err, strings.TrimSpace(trouble.String()))
	}
	// A workspace or a replacement may have given another release.
	if kept != "" && isBuilt(file, known.pkg, version, runtimeVersion) && keep(file, kept) == nil {
		done()
		return kept, func() {}, nil
	}
	return file, done, nil
}

// isBuilt tells whether file is that program, of those releases.
func isBuilt(file, pkg, version, runtimeVersion string) bool {
	info, err := buildinfo.ReadFile(file)
	if err != nil || info.Path != pkg || info.Main.Version != version || info.Main.Replace != nil {
		return false
	}
	if info.Main.Path == protobuf {
		return true
	}
	for _, dep := range info.Deps {
		if dep.Path == protobuf {
			return dep.Version == runtimeVersion && dep.Replace == nil
		}
	}
	return false
}

// keep puts a program into the cache, whole or not at all.
func keep(file, kept string) error {
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	if os.Rename(file, kept) == nil {
		return nil
	}
	// The cache is on another file system.
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(kept), ".new-")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Chmod(0o700), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), kept)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temp.Name()))
	}
	return err
}
