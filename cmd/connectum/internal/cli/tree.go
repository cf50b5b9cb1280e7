package cli

import (
	"path/filepath"
	"slices"

	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/watch"
)

// configs are the files besides protos that decide about generated code.
var configs = []string{"buf.yaml", "buf.gen.yaml", "go.mod"}

// protoTree watches what generated code depends on.
func protoTree(dir string) (*watch.Tree, error) {
	p, err := project.Open(dir)
	if err != nil {
		return nil, err
	}
	return &watch.Tree{
		Roots: []string{p.Dir},
		Want: func(file string) bool {
			return filepath.Ext(file) == ".proto" || filepath.Dir(file) == p.Dir && slices.Contains(configs, filepath.Base(file))
		},
		Skip: skipFolder,
	}, nil
}

// skipFolder leaves out folders that hold the code of others.
func skipFolder(dir string) bool {
	name := filepath.Base(dir)
	return name == "vendor" || name == "node_modules" || name == "testdata"
}
