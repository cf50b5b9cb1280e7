package generate

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// pinned are the generators that come with the libraries their code runs on, so
// that go.mod pins both in one line.
var pinned = map[string]struct{ pkg, module string }{
	"protoc-gen-go":         {"google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/protobuf"},
	"protoc-gen-connect-go": {"connectrpc.com/connect/v2/cmd/protoc-gen-connect-go", "connectrpc.com/connect/v2"},
}

// isPinned tells whether a plugin is the project's own release of a generator:
// called by its bare name, by go tool or by go run.
func isPinned(p project.Plugin) bool {
	known, ok := pinned[p.Name()]
	if !ok {
		return false
	}
	c := p.Command
	last := c[len(c)-1]
	return len(c) == 1 && last == p.Name() ||
		len(c) == 3 && c[0] == "go" && (c[1] == "tool" || c[1] == "run") && (last == p.Name() || last == known.pkg)
}

// run gets code from a plugin.
func (g *generator) run(ctx context.Context, p project.Plugin, s *schema) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	if !isPinned(p) {
		groups := [][]string{s.targets}
		if p.PerDir {
			groups = s.byFolder()
		}
		var files []*pluginpb.CodeGeneratorResponse_File
		for _, targets := range groups {
			more, err := g.exec(ctx, p.Command, s.request(targets, p.Opt))
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
		return files, nil
	}
	known := pinned[p.Name()]
	req := s.request(s.targets, p.Opt)
	have := g.project.Version(known.module)
	switch {
	case p.Name() == "protoc-gen-go" && (have == "" && !g.project.Replaces(known.module) || have == linkedGengo()):
		return inProcess(req)
	case p.Name() == "protoc-gen-connect-go" && !s.hasCalls():
		return nil, nil // it has nothing to say of files without services
	case have == "" && !g.project.Replaces(known.module):
		return nil, fmt.Errorf("go.mod does not require %s, whose release decides about the code: run 'go get %s@latest'", known.module, known.module)
	}
	program, done, err := g.program(ctx, p.Name())
	if err != nil {
		return nil, err
	}
	defer done()
	return g.exec(ctx, []string{program}, req)
}

// exec runs a plugin as protoc would.
func (g *generator) exec(ctx context.Context, command []string, req *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	in, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = g.project.Dir
	var out, trouble bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &trouble
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, strings.TrimSpace(trouble.String()))
	}
	if trouble.Len() > 0 {
		g.note(strings.TrimSpace(trouble.String()))
	}
	var res pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out.Bytes(), &res); err != nil {
		return nil, fmt.Errorf("%s: answered something else than a plugin does: %w", strings.Join(command, " "), err)
	}
	if res.Error != nil {
		return nil, fmt.Errorf("%s: %s", filepath.Base(command[len(command)-1]), res.GetError())
	}
	return res.GetFile(), nil
}

// inProcess is protoc-gen-go, of the release that this binary links.
func inProcess(req *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	// The plugin knows no extension but its own. What it does not know it writes
	// into the code as it came, and what this binary knows besides it would not.
	var known protoregistry.Types
	if err := known.RegisterExtension(gofeaturespb.E_Go); err != nil {
		return nil, err
	}
	var fresh pluginpb.CodeGeneratorRequest
	if err := (proto.UnmarshalOptions{Resolver: &known}).Unmarshal(wire, &fresh); err != nil {
		return nil, err
	}
	var flags flag.FlagSet
	plugin, err := protogen.Options{ParamFunc: flags.Set}.New(&fresh)
	if err != nil {
		return nil, fmt.Errorf("protoc-gen-go: %w", err)
	}
	for _, f := range plugin.Files {
		if f.Generate {
			gengo.GenerateFile(plugin, f)
		}
	}
	plugin.SupportedFeatures = gengo.SupportedFeatures
	plugin.SupportedEditionsMinimum = gengo.SupportedEditionsMinimum
	plugin.SupportedEditionsMaximum = gengo.SupportedEditionsMaximum
	res := plugin.Response()
	if res.Error != nil {
		return nil, errors.New("protoc-gen-go: " + res.GetError())
	}
	return res.GetFile(), nil
}

var gengoLine = regexp.MustCompile(`(?m)^// 	protoc-gen-go (v\S+)$`)

// linkedGengo is the release of protoc-gen-go in this binary, as it names
// itself in what it writes; build information is not in every binary.
var linkedGengo = sync.OnceValue(func() string {
	name, pkg := "v.proto", "example.com/v"
	files, err := inProcess(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		ProtoFile:      []*descriptorpb.FileDescriptorProto{{Name: &name, Options: &descriptorpb.FileOptions{GoPackage: &pkg}}},
	})
	if err != nil || len(files) != 1 {
		return ""
	}
	if m := gengoLine.FindStringSubmatch(files[0].GetContent()); m != nil {
		return m[1]
	}
	return ""
})
