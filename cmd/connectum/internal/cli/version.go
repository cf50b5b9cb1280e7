package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// built is what the Go toolchain put into the binary, as --json tells it.
type built struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty where it is not known
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readBuilt() built {
	b := built{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is the build on one line, for people.
func (b built) String() string {
	commit := ""
	if b.Commit != "" {
		commit = " commit " + b.Commit
	}
	if b.Modified {
		commit += " (modified)"
	}
	return fmt.Sprintf("connectum %s%s, %s %s/%s", b.Version, commit, b.Go, b.OS, b.Arch)
}

func versionCommand(io *term.IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release it was built by",
		Args:    takes(0, 0),
		Example: "  connectum version",
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return writeJSON(io, readBuilt())
			}
			io.Printf("%s", readBuilt())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as one JSON object")
	return cmd
}
