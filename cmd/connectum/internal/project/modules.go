package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/pbgo"
)

// modules are the folders of what go.mod requires, each asked for once.
type modules struct {
	mu     sync.Mutex
	listed bool
	dirs   []string // in the order of go.mod
	absent []string // names of those that are not downloaded
}

// FromModules returns the descriptor of a file that a module of go.mod has the
// generated code of, in the release that the project is built with, or nil.
// Modules that are not there yet are downloaded, if those that are have not got
// it. FromModules is safe for concurrent use.
func (p *Project) FromModules(ctx context.Context, path string) (*descriptorpb.FileDescriptorProto, error) {
	m := &p.modules
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.listed {
		if err := p.listModules(ctx); err != nil {
			return nil, err
		}
	}
	file, err := pbgo.Find(m.dirs, path)
	if file != nil || err != nil || len(m.absent) == 0 {
		return file, err
	}
	dirs, err := p.goModules(ctx, m.absent, "mod", "download", "-json")
	if err != nil {
		return nil, err
	}
	m.dirs, m.absent = append(m.dirs, dirs...), nil
	return pbgo.Find(dirs, path)
}

// listModules finds what is downloaded.
func (p *Project) listModules(ctx context.Context) error {
	var names []string
	for _, r := range p.Go.Require {
		names = append(names, r.Mod.Path)
	}
	if len(names) > 0 {
		dirs, err := p.goModules(ctx, names, "list", "-m", "-mod=readonly", "-json")
		if err != nil {
			return err
		}
		for i, dir := range dirs {
			if dir == "" {
				p.modules.absent = append(p.modules.absent, names[i])
			} else {
				p.modules.dirs = append(p.modules.dirs, dir)
			}
		}
	}
	p.modules.listed = true
	return nil
}

// goModules runs a go command that prints modules, and returns the folder of
// each; that of one that is not there is empty.
func (p *Project) goModules(ctx context.Context, names []string, args ...string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", append(args, names...)...)
	cmd.Dir = p.Dir
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	failed := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	dirs := make(map[string]string)
	for d := json.NewDecoder(&out); ; {
		var m struct {
			Path, Dir string
			Error     any
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(failed, err)
		}
		if reason, ok := m.Error.(string); ok { // of 'mod download'
			fmt.Fprintln(&trouble, reason)
		}
		dirs[m.Path] = m.Dir
	}
	if failed != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args[:2], " "), failed, strings.TrimSpace(trouble.String()))
	}
	ordered := make([]string, len(names))
	for i, name := range names {
		ordered[i] = dirs[name]
	}
	return ordered, nil
}
