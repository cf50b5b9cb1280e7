package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/scaffold"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func addCommand(io *term.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "add",
		Short:   "Add to the project",
		Example: "  connectum add service shop.v1.OrderService",
		Args:    commandsOnly,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(addServiceCommand(io))
	return cmd
}

func addServiceCommand(io *term.IO) *cobra.Command {
	var methods []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "service PACKAGE.NAME",
		Short: "Add a service: proto, code, a test, and its registration",
		Long: `Write the proto of a service with its methods and messages, generate its code, and
write an implementation that answers 'unimplemented' with a test that runs. The
service is registered after the others in the program; where these are not found,
the lines to write are printed.

Messages are written unless the package has them. Names with dots are full, such as
google.protobuf.Empty. A method by its name alone, Get, is
Get(GetRequest) returns (GetResponse), and that is the default. Nothing is overwritten.`,
		Example: `  connectum add service shop.v1.OrderService
  connectum add service shop.v1.OrderService --rpc 'Create(CreateRequest) returns (Order)' \
    --rpc 'Watch(WatchRequest) returns (stream Order)'`,
		Args:              takes(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			add := scaffold.Add{Service: args[0], Show: show(io)}
			for _, m := range methods {
				rpc, err := scaffold.ParseRPC(m)
				if err != nil {
					return err
				}
				add.RPCs = append(add.RPCs, rpc)
			}
			p, err := project.Open(io.Dir)
			if err != nil {
				return err
			}
			added, err := add.Do(cmd.Context(), p, io.Progress)
			switch {
			case err != nil && asJSON:
				return err
			case err != nil:
				return showProblems(io, err)
			}
			if asJSON {
				text, err := json.Marshal(added)
				io.Printf("%s", text)
				return err
			}
			for _, file := range added.Files {
				io.Printf("%s %s", io.OnOut(term.Green, "wrote"), show(io)(filepath.Join(p.Dir, filepath.FromSlash(file))))
			}
			for _, module := range added.Missing {
				io.Errorf("%s the code imports a module that go.mod does not require: run 'go get %s'", io.OnErr(term.Yellow, "note:"), module)
			}
			if added.Registered == "" {
				io.Errorf("\nRegister it where the server is made:\n\n  import %s\n\n  %s", strings.Join(added.Imports, "\n  import "), added.Registration)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&methods, "rpc", nil, "a method, 'Name(In) returns (Out)', with 'stream' before In or Out; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	return cmd
}
