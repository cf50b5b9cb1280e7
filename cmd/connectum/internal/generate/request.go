package generate

import (
	"fmt"
	"path"
	"slices"

	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// schema is what plugins are asked about.
type schema struct {
	targets []string                            // sorted
	files   []*descriptorpb.FileDescriptorProto // each after what it imports
	sources []*descriptorpb.FileDescriptorProto // the targets with options for sources
	calls   map[string]bool                     // targets with services
	have    map[string]bool                     // what has code in a module of go.mod
}

func newSchema(compiled *compile.Result, managed *project.Managed) (*schema, error) {
	s := &schema{calls: make(map[string]bool), have: compiled.Elsewhere}
	files := compiled.Files
	for _, f := range files {
		s.targets = append(s.targets, f.Path())
		s.calls[f.Path()] = f.Services().Len() > 0
	}
	seen := make(map[string]bool)
	for _, f := range files {
		if err := s.add(f, managed, seen); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *schema) add(f protoreflect.FileDescriptor, managed *project.Managed, seen map[string]bool) error {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		if err := s.add(f.Imports().Get(i).FileDescriptor, managed, seen); err != nil {
			return err
		}
	}
	file := protoutil.ProtoFromFileDescriptor(f)
	if file == nil {
		return fmt.Errorf("%s: no descriptor", f.Path())
	}
	file = likeProtoc(file)
	// The packages of what the binary or a module brings along exist already.
	if compile.Linked(f.Path()) == nil && !s.have[f.Path()] || slices.Contains(s.targets, f.Path()) {
		own := file.GetOptions().GetGoPackage()
		if pkg := managed.GoPackage(f.Path(), string(f.Package()), own); pkg != own {
			file = proto.CloneOf(file)
			if file.Options == nil {
				file.Options = new(descriptorpb.FileOptions)
			}
			file.Options.GoPackage = &pkg
		}
	}
	if !slices.Contains(s.targets, f.Path()) {
		s.files = append(s.files, file)
		return nil
	}
	s.sources = append(s.sources, file)
	stripped, err := options.StripSourceRetentionOptionsFromFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path(), err)
	}
	s.files = append(s.files, stripped)
	return nil
}

// likeProtoc puts the comments of an edition where those of a syntax are:
// protoc and buf do so, and plugins look for them there.
func likeProtoc(file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	const syntax, edition = 12, 14 // of FileDescriptorProto
	isEdition := func(l *descriptorpb.SourceCodeInfo_Location) bool { return slices.Equal(l.GetPath(), []int32{edition}) }
	if !slices.ContainsFunc(file.GetSourceCodeInfo().GetLocation(), isEdition) {
		return file
	}
	file = proto.CloneOf(file)
	for _, l := range file.GetSourceCodeInfo().GetLocation() {
		if isEdition(l) {
			l.Path = []int32{syntax}
		}
	}
	return file
}

// request asks for code for some of the targets.
func (s *schema) request(targets []string, opt string) *pluginpb.CodeGeneratorRequest {
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: targets, ProtoFile: s.files, SourceFileDescriptors: s.sources}
	if opt != "" {
		req.Parameter = &opt
	}
	return req
}

// byFolder splits the targets by folder.
func (s *schema) byFolder() [][]string {
	var folders [][]string
	index := make(map[string]int)
	for _, t := range s.targets {
		dir := path.Dir(t)
		i, ok := index[dir]
		if !ok {
			i = len(folders)
			index[dir] = i
			folders = append(folders, nil)
		}
		folders[i] = append(folders[i], t)
	}
	return folders
}

// hasCalls tells whether one of the targets has a service.
func (s *schema) hasCalls() bool {
	return slices.ContainsFunc(s.targets, func(t string) bool { return s.calls[t] })
}
