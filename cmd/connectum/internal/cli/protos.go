package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
)

// protoFlags say where the schema is, when not at the server.
type protoFlags struct {
	files []string
	roots []string
}

func (f *protoFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "proto", nil, ".proto `file` to know the schema from, instead of the server; may be repeated")
	cmd.Flags().StringArrayVar(&f.roots, "import-path", nil, "`folder` in which imports are looked for; may be repeated (default the working directory)")
}

// schema opens the schema: that of the files, or what t tells. The function ends
// the conversation with t, which may be nil when there are files.
func (f *protoFlags) schema(ctx context.Context, t *target.Target) (*schema.Schema, func(), error) {
	if len(f.files) == 0 {
		if len(f.roots) > 0 {
			return nil, nil, exit.With(exit.Usage, fmt.Errorf("--import-path goes with --proto"))
		}
		r, err := schema.FromServer(t)
		if err != nil {
			return nil, nil, err
		}
		return schema.New(r), r.Close, nil
	}
	sources := compile.Sources{Files: map[string]string{}, Roots: f.roots}
	if len(f.roots) == 0 {
		sources.Roots = []string{"."}
	}
	for _, file := range f.files {
		path, on, err := locate(file, sources.Roots)
		if err != nil {
			return nil, nil, exit.With(exit.Usage, err)
		}
		sources.Files[path] = on
	}
	if p, err := project.Open("."); err == nil { // whose go.mod may have what is imported
		sources.Elsewhere = p.FromModules
	}
	result, err := compile.Compile(ctx, sources)
	if err != nil {
		return nil, nil, err
	}
	return schema.New(schema.FromFiles(result.Files)), func() {}, nil
}

// locate returns the path by which imports name a file, and where it is: files
// are named as on disk, or as imports do.
func locate(file string, roots []string) (path, on string, err error) {
	for _, root := range roots {
		if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) && isFile(file) {
			return filepath.ToSlash(rel), file, nil
		}
	}
	for _, root := range roots {
		if on := filepath.Join(root, file); filepath.IsLocal(file) && isFile(on) {
			return filepath.ToSlash(file), on, nil
		}
	}
	if isFile(file) {
		return filepath.Base(file), file, nil
	}
	return "", "", fmt.Errorf("--proto %s: there is no such file, nor one below --import-path (%s)", file, strings.Join(roots, ", "))
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
