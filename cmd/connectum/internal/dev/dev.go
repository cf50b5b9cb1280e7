// Package dev runs a project while it is written: it generates, builds, runs,
// and does so again when files change.
package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
	"github.com/connectum-go/connectum/cmd/connectum/internal/watch"
)

// stopLimit is longer than a server may take by default.
const stopLimit = 40 * time.Second

// Dev is a session.
type Dev struct {
	Project *project.Project
	Package string   // of the program, as for go build
	Args    []string // of the program
	IO      *term.IO

	// Generate writes the code of the protos, and tells how many files it wrote.
	Generate func(ctx context.Context) (int, error)
	// Problems shows mistakes in protos.
	Problems func(io *term.IO, err error)
	// Kill is closed when the program is to be killed instead of drained.
	Kill <-chan struct{}

	status *term.Status
	lines  *term.IO // writes above the status line
	temp   string
	builds int
	embeds map[string]bool
	child  *process
	binary string
}

// Run goes on until ctx ends, and has then stopped the program. Its error is
// nil unless something went wrong that no change of a file would put right.
func (d *Dev) Run(ctx context.Context) (err error) {
	if d.temp, err = os.MkdirTemp("", "connectum-dev-"); err != nil {
		return err
	}
	d.status = d.IO.NewStatus()
	lines := *d.IO
	lines.Out, lines.Err = d.status.Writer(d.IO.Out), d.status.Writer(d.IO.Err)
	d.lines = &lines
	defer func() {
		d.stop()
		d.status.Set("")
		d.say(term.Dim, "stopped")
		err = errors.Join(err, os.RemoveAll(d.temp))
	}()

	tree := d.tree()
	d.status.Set(d.IO.OnErr(term.Yellow, "● starting"))
	d.embeds = d.embedded(ctx)
	for changed := []string(nil); ; {
		seen := tree.Look() // before, so that changes meanwhile are seen after
		d.update(ctx, changed)
		if changed, err = d.wait(ctx, tree, seen); err != nil {
			return nil // ctx has ended: that is how this ends
		}
		d.say(term.Dim, "%s changed", d.name(changed))
		if d.mayEmbed(changed) {
			d.embeds = d.embedded(ctx)
		}
	}
}

// update brings the program up to the files. Where they have a mistake it says
// so, and what runs goes on.
func (d *Dev) update(ctx context.Context, changed []string) {
	if changed == nil || slices.ContainsFunc(changed, isSchema) {
		d.status.Set(d.IO.OnErr(term.Yellow, "● generating"))
		begin, done := time.Now(), d.slow("generating")
		n, err := d.Generate(ctx)
		done()
		if err != nil {
			d.failed(ctx, "generating failed", err)
			return
		}
		d.say(term.Dim, "generated, %d files written, %s", n, since(begin))
	}
	d.status.Set(d.IO.OnErr(term.Yellow, "● building"))
	begin, done := time.Now(), d.slow("building")
	binary, err := d.build(ctx)
	done()
	if err != nil {
		d.failed(ctx, "build failed", err)
		return
	}
	d.say(term.Dim, "built in %s", since(begin))
	if d.child.running() {
		d.status.Set(d.IO.OnErr(term.Yellow, fmt.Sprintf("● draining process %d", d.child.pid())))
		d.say(term.Dim, "draining process %d", d.child.pid())
	}
	d.stop() // before the next one: both want the port
	if ctx.Err() != nil {
		return
	}
	child, err := start(binary, d.Project.Dir, d.Args, environ(os.Environ()), d.lines.Out, d.lines.Err)
	if err != nil {
		d.failed(ctx, "start failed", err)
		return
	}
	d.child, d.binary = child, binary
	d.say(term.Green, "running, process %d", child.pid())
	d.status.Set(d.IO.OnErr(term.Green, "● running") + d.IO.OnErr(term.Dim,
		fmt.Sprintf("  process %d, built in %s; watching for changes, Ctrl-C ends", child.pid(), since(begin))))
}

// failed tells what is wrong and what goes on.
func (d *Dev) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	d.say(term.Red, "%s", what)
	var trouble *buildError
	if _, ok := compile.IsProblems(err); ok {
		d.Problems(d.lines, err)
	} else if errors.As(err, &trouble) {
		d.lines.Errorf("%s", trouble.text)
	} else {
		d.lines.Errorf("%v", err)
	}
	if d.child.running() {
		d.say(term.Yellow, "process %d stays up; watching for changes", d.child.pid())
		d.status.Set(d.IO.OnErr(term.Red, "● "+what) + d.IO.OnErr(term.Dim, fmt.Sprintf("  process %d stays up; Ctrl-C ends", d.child.pid())))
		return
	}
	d.say(term.Yellow, "watching for changes")
	d.status.Set(d.IO.OnErr(term.Red, "● "+what) + d.IO.OnErr(term.Dim, "  nothing runs; Ctrl-C ends"))
}

// wait waits for changes, and tells when the program ends by itself meanwhile.
func (d *Dev) wait(ctx context.Context, tree *watch.Tree, seen watch.Snapshot) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := make(chan struct{})
	go func() {
		defer close(told)
		if !d.child.running() {
			return
		}
		select {
		case <-ctx.Done():
		case <-d.child.ended:
			d.say(term.Red, "process %d ended: %s; watching for changes", d.child.pid(), d.child.how())
			d.status.Set(d.IO.OnErr(term.Red, "● ended") + d.IO.OnErr(term.Dim, "  "+d.child.how()+"; watching for changes, Ctrl-C ends"))
		}
	}()
	_, changed, err := tree.Wait(ctx, seen)
	cancel()
	<-told
	return changed, err
}

// stop drains the program that runs, if any.
func (d *Dev) stop() {
	if d.child == nil {
		return
	}
	if err := d.child.stop(stopLimit, d.Kill); err != nil {
		d.say(term.Red, "%v", err)
	}
	if d.binary != "" {
		_ = os.Remove(d.binary) // goes with its folder at the latest
	}
	d.child, d.binary = nil, ""
}

// slow names what takes over a second where there is no status line to do so.
func (d *Dev) slow(what string) (done func()) {
	if d.IO.ErrTerminal {
		return func() {}
	}
	return d.lines.Progress("dev: %s", what)
}

// say writes a line of our own between those of the program.
func (d *Dev) say(style term.Style, format string, args ...any) {
	d.lines.Errorf("%s", d.IO.OnErr(style, "dev: "+fmt.Sprintf(format, args...)))
}

// name names what changed: the first, and how many others.
func (d *Dev) name(changed []string) string {
	first := project.Show(d.Project.Dir, changed[0])
	if len(changed) == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d others", first, len(changed)-1)
}

// environ adds what suits a program that is being written, where nothing else
// is said: calls from this machine alone, lines for people, and a short wait for
// streams at each restart.
func environ(have []string) []string {
	for _, add := range []string{"LISTEN=localhost", "LOG_FORMAT=text", "STREAM_GRACE=1s"} {
		name, _, _ := strings.Cut(add, "=")
		if !slices.ContainsFunc(have, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
			have = append(have, add)
		}
	}
	return have
}

func since(begin time.Time) time.Duration { return time.Since(begin).Round(10 * time.Millisecond) }

// tree is what the program is made of: its code but for tests, the schemas, the
// module files, and what is embedded. Generated code changes with the schemas.
func (d *Dev) tree() *watch.Tree {
	return &watch.Tree{
		Roots: []string{d.Project.Dir},
		Want: func(file string) bool {
			switch {
			case strings.HasSuffix(file, "_test.go"), strings.HasSuffix(file, ".pb.go"), strings.HasSuffix(file, ".connect.go"):
				return false
			case filepath.Ext(file) == ".go", isSchema(file), filepath.Base(file) == "go.sum":
				return true
			}
			return d.embeds[file]
		},
		Skip: func(dir string) bool {
			name := filepath.Base(dir)
			return name == "vendor" || name == "node_modules" || name == "testdata"
		},
	}
}

// isSchema tells whether generated code depends on a file.
func isSchema(file string) bool {
	switch filepath.Base(file) {
	case "buf.yaml", "buf.gen.yaml", "go.mod":
		return true
	}
	return filepath.Ext(file) == ".proto"
}

// mayEmbed tells whether the changes may have changed what is embedded.
func (d *Dev) mayEmbed(changed []string) bool {
	for _, file := range changed {
		if d.embeds[file] {
			return true
		}
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "//go:embed") {
			return true
		}
	}
	return false
}
