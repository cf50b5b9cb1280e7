// Package generate writes the Go code of a project's protos: exactly what
// protoc-gen-go and protoc-gen-connect-go write, of the releases that the
// project's go.mod requires.
package generate

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// Options are how to generate.
type Options struct {
	// Check writes nothing: Result says what would be.
	Check bool
	// Show names files in errors. The default is as they are.
	Show func(file string) string
	// Progress is called before what may take long, and what it returns after.
	Progress func(format string, args ...any) (done func())
	// Note is told what plugins say beside their answers.
	Note func(text string)
	// Overlay has protos that are not on disk yet, by the path that imports name.
	Overlay map[string]string
}

// Result is what was done, or would be. Files are relative to the project,
// slash-separated and sorted.
type Result struct {
	Protos    int      `json:"protos"`
	Written   []string `json:"written"`
	Removed   []string `json:"removed"`
	Unchanged int      `json:"unchanged"`
	// Missing are the modules, with versions, that the code imports and go.mod
	// does not require.
	Missing  []string         `json:"missing"`
	Warnings compile.Problems `json:"warnings"`
}

type generator struct {
	project  *project.Project
	progress func(format string, args ...any) func()
	note     func(text string)
}

// Run generates. Nothing is written unless everything succeeded; mistakes in
// protos are [compile.Problems].
func Run(ctx context.Context, p *project.Project, o Options) (*Result, error) {
	g := &generator{project: p, progress: o.Progress, note: o.Note}
	if g.progress == nil {
		g.progress = func(string, ...any) func() { return func() {} }
	}
	if g.note == nil {
		g.note = func(string) {}
	}
	sources, err := p.Sources()
	if err != nil {
		return nil, exit.With(exit.Invalid, err)
	}
	sources.Show, sources.Overlay, sources.Elsewhere = o.Show, o.Overlay, p.FromModules
	if len(sources.Files)+len(sources.Overlay) == 0 {
		return nil, exit.With(exit.Invalid, fmt.Errorf("no .proto file in %s", strings.Join(p.Folders(), ", ")))
	}
	done := g.progress("compiling %d protos", len(sources.Files)+len(sources.Overlay))
	compiled, err := compile.Compile(ctx, sources)
	done()
	if err != nil {
		return nil, err
	}
	s, err := newSchema(compiled, &p.Gen.Managed)
	if err != nil {
		return nil, err
	}
	fresh, err := g.all(ctx, s)
	if err != nil {
		if ctx.Err() == nil {
			err = exit.With(exit.Invalid, err)
		}
		return nil, err
	}
	plan, err := newPlan(p, fresh)
	if err != nil {
		return nil, err
	}
	if !o.Check {
		if err := plan.do(); err != nil {
			return nil, err
		}
	}
	return &Result{
		Protos: len(s.targets), Written: plan.written(), Removed: plan.stale, Unchanged: plan.unchanged,
		Missing: missing(p, compiled.Files), Warnings: append(compile.Problems{}, compiled.Warnings...),
	}, nil
}

// all returns what the plugins write, by path relative to the project.
func (g *generator) all(ctx context.Context, s *schema) (map[string]string, error) {
	fresh, by := make(map[string]string), make(map[string]string)
	for _, p := range g.project.Gen.Plugins {
		files, err := g.run(ctx, p, s)
		if err != nil {
			return nil, err
		}
		last := ""
		for _, f := range files {
			name := f.GetName()
			if f.GetInsertionPoint() != "" {
				return nil, fmt.Errorf("%s inserts into the file of another plugin, %s, which only protoc and buf can", p.Name(), name)
			}
			if name == "" { // goes on with the file before
				fresh[last] += f.GetContent()
				continue
			}
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				return nil, fmt.Errorf("%s writes to %s, which is not below %s", p.Name(), name, p.Out)
			}
			last = path.Join(p.Out, name)
			if other, twice := by[last]; twice {
				return nil, fmt.Errorf("%s and %s both write %s", other, p.Name(), last)
			}
			by[last] = p.Name()
			fresh[last] = f.GetContent()
		}
	}
	return fresh, nil
}

// outs are the folders that generated code goes to.
func outs(p *project.Project) []string {
	var dirs []string
	for _, plugin := range p.Gen.Plugins {
		if !slices.Contains(dirs, plugin.Out) {
			dirs = append(dirs, plugin.Out)
		}
	}
	return dirs
}
