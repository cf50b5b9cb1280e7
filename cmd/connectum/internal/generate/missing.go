package generate

import (
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// brought are the modules whose protos the binary brings along, those in others
// first.
var brought = []string{
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go",
	"google.golang.org/genproto/googleapis/api",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/genproto",
	"google.golang.org/protobuf",
}

// missing returns the modules that the code of files imports for protos the
// binary brings along, and that go.mod does not require, each in the release
// that the binary has.
func missing(p *project.Project, files []protoreflect.FileDescriptor) []string {
	out := []string{}
	for _, f := range files {
		for i := range f.Imports().Len() {
			imported := compile.Linked(f.Imports().Get(i).Path())
			if imported == nil || f.Imports().Get(i).IsPlaceholder() {
				continue
			}
			options, ok := imported.Options().(*descriptorpb.FileOptions)
			if !ok {
				continue
			}
			module := moduleOf(options.GetGoPackage())
			if module == "" || p.Version(module) != "" || p.Replaces(module) || module == p.Module {
				continue
			}
			if v := versionOf(module); v != "" {
				module += "@" + v
			}
			if !slices.Contains(out, module) {
				out = append(out, module)
			}
		}
	}
	slices.Sort(out)
	return out
}

func moduleOf(goPackage string) string {
	for _, module := range brought {
		if goPackage == module || strings.HasPrefix(goPackage, module+"/") || strings.HasPrefix(goPackage, module+";") {
			return module
		}
	}
	return ""
}

// versionOf returns the release of a module in this binary, where it knows.
func versionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
}
