package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// projectCommands are the commands that work on files.
func projectCommands(io *term.IO) []*cobra.Command {
	return []*cobra.Command{newCommand(io), addCommand(io), generateCommand(io), devCommand(io)}
}

// showProblems shows mistakes in files with their places, and returns err as
// one that has been shown; any other error it returns as it is.
func showProblems(io *term.IO, err error) error {
	problems, ok := compile.IsProblems(err)
	if !ok {
		return err
	}
	for _, p := range problems {
		showProblem(io, p, term.Red, "error")
	}
	var shown *silent
	if errors.As(err, &shown) {
		return err
	}
	return &silent{err}
}

func showProblem(io *term.IO, p compile.Problem, style term.Style, kind string) {
	place := p
	place.Message = ""
	head := place.String()
	io.Errorf("%s %s %s", io.OnErr(term.Bold, head[:len(head)-1]), io.OnErr(style, kind+":"), p.Message)
	if excerpt := p.Excerpt(); excerpt != "" {
		io.Errorf("%s", excerpt)
	}
}

// show names files as seen from the working directory.
func show(io *term.IO) func(string) string {
	return func(file string) string { return project.Show(io.Dir, file) }
}
