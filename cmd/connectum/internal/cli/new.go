package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/scaffold"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func newCommand(io *term.IO) *cobra.Command {
	var n scaffold.New
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a project that builds, passes its tests and runs",
		Long: `Make a project in a new folder: a proto with rules for requests, the service,
a program, tests, and the generated code. It needs Go and nothing else.

Templates:
  hello    the smallest: one method, one page of code
  service  configured by the environment, with health, reflection and a stream
  worker   takes jobs by RPC, does them in the background, finishes them when it stops

Nothing is overwritten, and nothing is left behind when something fails.`,
		Example: `  connectum new shop
  connectum new shop --module github.com/acme/shop --docker --k8s --tls
  connectum new mailer --template worker --telemetry`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name = args[0]
			if n.Framework != "" && !filepath.IsAbs(n.Framework) {
				n.Framework = filepath.Join(io.Dir, n.Framework)
			}
			made, err := n.Create(cmd.Context(), io.Dir, io.Progress)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.Marshal(made)
				io.Printf("%s", text)
				return err
			}
			for _, file := range made.Files {
				io.Printf("%s %s", io.OnOut(term.Green, "wrote"), filepath.Join(made.Dir, filepath.FromSlash(file)))
			}
			io.Errorf("\n%s of module %s. Now:\n\n  cd %s\n  go test ./...\n  connectum dev     # or: go run .",
				io.OnErr(term.Bold, made.Dir), made.Module, made.Dir)
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&n.Module, "module", "", "path of the Go module (default example.com/NAME)")
	cmd.Flags().StringVar(&n.Template, "template", "service", strings.Join(scaffold.Templates, ", "))
	cmd.Flags().BoolVar(&n.TLS, "tls", false, "serve TLS alone, with a certificate for this machine to begin with")
	cmd.Flags().BoolVar(&n.Telemetry, "telemetry", false, "report traces, metrics and logs by OpenTelemetry")
	cmd.Flags().BoolVar(&n.Docker, "docker", false, "add a Dockerfile")
	cmd.Flags().BoolVar(&n.K8s, "k8s", false, "add manifests for Kubernetes")
	cmd.Flags().StringVar(&n.Framework, "framework", "", "folder of the framework's source (default where connectum was built from)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	complete(cmd, "template", scaffold.Templates...)
	return cmd
}

// complete tells the shell the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not there: a mistake of ours
	}
}
