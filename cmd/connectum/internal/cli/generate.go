package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

type generateFlags struct {
	check, json, watch bool
}

func generateCommand(io *term.IO) *cobra.Command {
	var flags generateFlags
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the Go code of the project's protos",
		Long: `Compile the protos of the project and write their Go code: messages, clients
and handlers, exactly as protoc-gen-go and protoc-gen-connect-go write them, of the
releases that go.mod requires. Neither protoc nor buf is needed, and no network:
imports of protovalidate and googleapis are resolved by connectum itself.

Protos are in proto/ and code goes to gen/, unless buf.yaml and buf.gen.yaml say
otherwise. Only files that are marked as generated are ever overwritten or removed.`,
		Example: `  connectum generate
  connectum generate --watch
  connectum generate --check   # fail if the code is not up to date, as in CI`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.watch && flags.check:
				return exit.With(exit.Usage, usage(cmd, errors.New("--check and --watch exclude each other")))
			case flags.watch:
				return watchAndGenerate(cmd.Context(), io, flags)
			}
			return generateOnce(cmd.Context(), io, flags)
		},
	}
	cmd.Flags().BoolVar(&flags.check, "check", false, "write nothing; fail when files would change")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print the result as one JSON object")
	cmd.Flags().BoolVarP(&flags.watch, "watch", "w", false, "go on, and generate whenever protos change")
	return cmd
}

// generated is what --json prints.
type generated struct {
	*generate.Result
	Problems compile.Problems `json:"problems"`
	Seconds  float64          `json:"seconds"`
}

func generateOnce(ctx context.Context, io *term.IO, flags generateFlags) error {
	begin := time.Now()
	p, err := project.Open(io.Dir)
	if err != nil {
		return err
	}
	result, err := runGenerate(ctx, io, p, flags.check)
	if flags.json {
		problems, _ := compile.IsProblems(err)
		if err != nil && problems == nil {
			return err
		}
		if result == nil {
			result = &generate.Result{Written: []string{}, Removed: []string{}, Missing: []string{}, Warnings: compile.Problems{}}
		}
		text, jsonErr := json.Marshal(generated{result, append(compile.Problems{}, problems...), time.Since(begin).Seconds()})
		if jsonErr != nil {
			return jsonErr
		}
		io.Printf("%s", text)
		if err != nil {
			return &silent{err}
		}
		return outOfDate(flags, result)
	}
	if err != nil {
		return showProblems(io, err)
	}
	showGenerated(io, result, flags.check, time.Since(begin))
	return outOfDate(flags, result)
}

// outOfDate is the error of a check that found something.
func outOfDate(flags generateFlags, r *generate.Result) error {
	if n := len(r.Written) + len(r.Removed); flags.check && n > 0 {
		return exit.With(exit.Failed, fmt.Errorf("%s not up to date: run 'connectum generate'", count(n, "file is", "files are")))
	}
	return nil
}

func runGenerate(ctx context.Context, io *term.IO, p *project.Project, check bool) (*generate.Result, error) {
	return generate.Run(ctx, p, generate.Options{
		Check:    check,
		Show:     show(io),
		Progress: io.Progress,
		Note:     func(text string) { io.Errorf("%s", text) },
	})
}

func showGenerated(io *term.IO, r *generate.Result, check bool, took time.Duration) {
	for _, w := range r.Warnings {
		showProblem(io, w, term.Yellow, "warning")
	}
	write, remove := "wrote", "removed"
	if check {
		write, remove = "would write", "would remove"
	}
	for _, name := range r.Written {
		io.Printf("%s %s", io.OnOut(term.Green, write), name)
	}
	for _, name := range r.Removed {
		io.Printf("%s %s", io.OnOut(term.Yellow, remove), name)
	}
	for _, module := range r.Missing {
		io.Errorf("%s the code imports a module that go.mod does not require: run 'go get %s'", io.OnErr(term.Yellow, "note:"), module)
	}
	io.Errorf("%s", io.OnErr(term.Dim, fmt.Sprintf("%s, %s unchanged, %s",
		count(r.Protos, "proto", "protos"), count(r.Unchanged, "file", "files"), took.Round(time.Millisecond))))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// watchAndGenerate generates, again and again, until ctx ends.
func watchAndGenerate(ctx context.Context, io *term.IO, flags generateFlags) error {
	tree, err := protoTree(io.Dir)
	if err != nil {
		return err
	}
	for seen := tree.Look(); ; {
		if err := generateOnce(ctx, io, flags); err != nil && ctx.Err() == nil {
			var shown *silent
			switch {
			case errors.As(err, &shown):
			case flags.json:
				_ = showAsJSON(io, err) // the same, as shown
			default:
				io.Errorf("%s %v", io.OnErr(term.Red, "error:"), err)
			}
		}
		if ctx.Err() == nil {
			io.Errorf("%s", io.OnErr(term.Dim, "watching for changes; Ctrl-C ends"))
		}
		if seen, _, err = tree.Wait(ctx, seen); err != nil {
			return nil // Ctrl-C is how this ends
		}
	}
}
