package cli

import (
	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// serverCommands are the commands that talk to running servers.
func serverCommands(io *term.IO) []*cobra.Command {
	return []*cobra.Command{
		callCommand(io),
		listCommand(io),
		describeCommand(io),
		protoCommand(io),
		healthCommand(io),
		benchCommand(io),
		doctorCommand(io),
	}
}
