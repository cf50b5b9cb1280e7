// Package cli is the command tree: flags and arguments here, the work in the
// packages beside it.
package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// Run runs the command line args and returns the exit code.
func Run(ctx context.Context, args []string, io *term.IO) int {
	root := newRoot(io)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exit.OK
	}
	var shown *silent
	switch {
	case errors.As(err, &shown):
	case wantsJSON(cmd, args):
		err = showAsJSON(io, err)
	default:
		io.Errorf("%s %v", io.OnErr(term.Red, "error:"), err)
	}
	return exit.Code(err)
}

func newRoot(io *term.IO) *cobra.Command {
	root := &cobra.Command{
		Use:           "connectum",
		Short:         "Make, run and look after gRPC and ConnectRPC services",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          commandsOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = readBuilt().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(io.In)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.With(exit.Usage, usage(cmd, err))
	})
	root.AddGroup(&cobra.Group{ID: "project", Title: "Your project:"},
		&cobra.Group{ID: "server", Title: "A running server:"})
	for _, cmd := range projectCommands(io) {
		cmd.GroupID = "project"
		root.AddCommand(cmd)
	}
	for _, cmd := range serverCommands(io) {
		cmd.GroupID = "server"
		root.AddCommand(cmd)
	}
	root.AddCommand(versionCommand(io))
	usageErrors(root)
	return root
}

// usageErrors gives mistakes in arguments the exit code of usage.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return exit.With(exit.Usage, usage(cmd, err))
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// usage says what to do about a mistake on the command line.
func usage(cmd *cobra.Command, err error) error {
	return errors.New(strings.TrimSpace(err.Error()) + "\nsee '" + cmd.CommandPath() + " --help'")
}
