package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/protosync"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func protoCommand(io *term.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "proto",
		Short: "Bring the schema of a running server into files",
		Args:  commandsOnly,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(syncCommand(io))
	return cmd
}

type syncFlags struct {
	serverFlags
	from, out                       string
	dryRun, generate, binary, force bool
	infrastructure, withDeps        bool
}

func syncCommand(io *term.IO) *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use:   "sync --from ADDRESS --out DIR",
		Short: "Write the schema of a running server as .proto files, or as a descriptor set",
		Long: `Write the schema of a running server as .proto files, or as a descriptor set.

The server is asked by reflection, which has no comments: they are lost. Files that
sync has not written itself are never overwritten without --force. All files are
written or, when anything fails, none. What every generator brings along
(google/protobuf, google/api, google/rpc, google/type, buf/validate) is left out of
.proto files, and is part of a descriptor set.`,
		Example: `  connectum proto sync --from localhost:5000 --out proto --dry-run
  connectum proto sync --from https://api.example.com --out proto --generate -H 'Authorization: Bearer ...'
  connectum proto sync --from localhost:5000 --out schema.binpb --binpb`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.finish(io, f.run(cmd.Context(), io))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "`address` of the server")
	flags.StringVarP(&f.out, "out", "o", "", "`folder` to write to, made if need be; with --binpb the file")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be written, and write and generate nothing")
	flags.BoolVar(&f.generate, "generate", false, "run 'connectum generate' of this project after it")
	flags.BoolVar(&f.binary, "binpb", false, "write one descriptor set (google.protobuf.FileDescriptorSet) instead")
	flags.BoolVar(&f.force, "force", false, "overwrite .proto files that sync has not written")
	flags.BoolVar(&f.withDeps, "with-deps", false, "write google/api, google/rpc, google/type and buf/validate too")
	flags.BoolVar(&f.infrastructure, "infrastructure", false, "write the health and reflection services too")
	f.serverFlags.addTo(cmd, "default 30s")
	return cmd
}

// synced is what --json tells.
type synced struct {
	DryRun    bool     `json:"dryRun"`
	Services  []string `json:"services"`
	Written   []string `json:"written"`
	Unchanged []string `json:"unchanged"`
	LeftOut   []string `json:"leftOut"`
	Generated []string `json:"generated"`
	Warnings  []string `json:"warnings"`
}

func (f *syncFlags) run(ctx context.Context, io *term.IO) error {
	switch {
	case f.from == "" || f.out == "":
		return exit.With(exit.Usage, errors.New("--from and --out are needed"))
	case f.binary && f.generate:
		return exit.With(exit.Usage, errors.New("--generate needs .proto files: leave out --binpb"))
	}
	t, err := f.target(f.from)
	if err != nil {
		return err
	}
	var p *project.Project
	if f.generate && !f.dryRun { // before anything is written
		if p, err = project.Open(io.Dir); err != nil {
			return err
		}
	}
	asking, stop := f.bound(ctx, usualTimeout)
	defer stop()
	done := io.Progress("asking %s for its schema", t)
	collected, err := f.collect(asking, t)
	done()
	if err != nil {
		return err
	}
	dir, files, err := f.files(collected)
	if err != nil {
		return err
	}
	result := synced{DryRun: f.dryRun, Services: collected.Services, LeftOut: list(collected.LeftOut), Generated: []string{}, Warnings: []string{}}
	if f.binary {
		result.LeftOut = []string{}
	} else if err := f.compiles(ctx, collected); err != nil {
		result.Warnings = append(result.Warnings, "the files do not compile here: "+err.Error())
	}
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	place := protosync.Place
	if f.dryRun {
		place = protosync.Plan
	}
	placed, err := place(dir, files, f.force)
	if err != nil {
		return err
	}
	result.Written, result.Unchanged = list(placed.Written), list(placed.Unchanged)
	if !f.json {
		f.tell(io, dir, result)
	}
	if p != nil {
		generated, err := runGenerate(ctx, io, p, false)
		switch {
		case err != nil && f.json:
			return fmt.Errorf("the schema is written, and its code is not: %w", err)
		case err != nil:
			err = showProblems(io, err)
			io.Errorf("the schema is written, and its code is not")
			return err
		}
		result.Generated = list(append(generated.Written, generated.Removed...))
		if !f.json {
			for _, name := range generated.Written {
				io.Printf("%s %s", io.OnOut(term.Green, "generated"), name)
			}
		}
	}
	if f.json {
		return writeJSON(io, result)
	}
	return nil
}

func (f *syncFlags) collect(ctx context.Context, t fmt.Stringer) (*protosync.Schema, error) {
	s, hangUp, _, err := openSchema(ctx, &f.serverFlags, &protoFlags{}, []string{f.from})
	if err != nil {
		return nil, err
	}
	defer hangUp()
	collected, err := protosync.Collect(ctx, s, protosync.Options{Infrastructure: f.infrastructure, Dependencies: f.withDeps})
	if errors.Is(err, schema.ErrNotFound) {
		return nil, fmt.Errorf("%s tells of more than it has: %w", t, err)
	}
	return collected, err
}

// files returns the folder and what to write to it.
func (f *syncFlags) files(s *protosync.Schema) (dir string, files map[string][]byte, err error) {
	if !f.binary {
		return f.out, s.Files, nil
	}
	binary, err := s.Binary()
	if err != nil {
		return "", nil, err
	}
	dir, name := filepath.Split(f.out)
	if info, err := os.Stat(f.out); err == nil && info.IsDir() || name == "" {
		dir, name = f.out, "schema.binpb"
	}
	if dir == "" {
		dir = "."
	}
	return dir, map[string][]byte{name: binary}, nil
}

// compiles tells whether the files do.
func (f *syncFlags) compiles(ctx context.Context, s *protosync.Schema) error {
	sources := compile.Sources{Overlay: map[string]string{}}
	for name, text := range s.Files {
		sources.Overlay[name] = string(text)
	}
	_, err := compile.Compile(ctx, sources)
	return err
}

func (f *syncFlags) tell(io *term.IO, dir string, r synced) {
	write := "wrote"
	if f.dryRun {
		write = "would write"
	}
	for _, name := range r.Written {
		io.Printf("%s %s", io.OnOut(term.Green, write), filepath.Join(dir, filepath.FromSlash(name)))
	}
	for _, w := range r.Warnings {
		io.Errorf("%s %s", io.OnErr(term.Yellow, "warning:"), term.Clean(w))
	}
	note := []string{count(len(r.Services), "service", "services"), count(len(r.Unchanged), "file", "files") + " unchanged"}
	if len(r.LeftOut) > 0 {
		note = append(note, "left out "+strings.Join(folders(r.LeftOut), ", "))
	}
	if !f.binary {
		note = append(note, "comments are lost: servers do not tell them")
	}
	io.Errorf("%s", io.OnErr(term.Dim, strings.Join(note, "; ")))
}

// folders returns the folders of files, each once.
func folders(files []string) []string {
	set := map[string]bool{}
	for _, name := range files {
		set[filepath.ToSlash(filepath.Dir(name))] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// list is never null in JSON.
func list(s []string) []string { return append([]string{}, s...) }
