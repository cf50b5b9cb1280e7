package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// versionCommand tells the version from what the Go toolchain put into the
// binary.
func versionCommand(io *term.IO) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release it was built by",
		Args:    cobra.NoArgs,
		Example: "  connectum version",
		Run: func(*cobra.Command, []string) {
			version, commit, dirty := "(devel)", "", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				version = cmp.Or(info.Main.Version, version)
				for _, s := range info.Settings {
					switch {
					case s.Key == "vcs.revision":
						commit = " commit " + s.Value
					case s.Key == "vcs.modified" && s.Value == "true":
						dirty = " (modified)"
					}
				}
			}
			io.Printf("connectum %s%s%s, %s %s/%s", version, commit, dirty, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
