package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// takes checks how many arguments a command got. A mistake names them, as the
// command's usage does.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, names, _ := strings.Cut(cmd.Use, " ")
		switch {
		case len(args) > most && most == 0:
			return fmt.Errorf("%s takes no argument, and %q is one", cmd.CommandPath(), args[0])
		case len(args) > most:
			return fmt.Errorf("%q is an argument too many: %s takes %s", args[most], cmd.CommandPath(), names)
		case len(args) < least:
			return fmt.Errorf("an argument is missing: %s takes %s", cmd.CommandPath(), names)
		}
		return nil
	}
}

// commandsOnly refuses arguments, which can only be commands that there are not,
// and names those that may have been meant.
func commandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	err := fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(meant, " or "))
	}
	return err
}
