package cli

import (
	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// projectCommands are the commands that work on files.
func projectCommands(io *term.IO) []*cobra.Command {
	_ = io
	return nil
}
