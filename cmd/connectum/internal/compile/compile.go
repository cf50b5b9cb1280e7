// Package compile makes descriptors of .proto files, with nothing installed:
// neither protoc nor buf, and no registry of schemas.
package compile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Sources are .proto files by the path that imports name, slash-separated, and
// where each is on disk.
type Sources struct {
	// Files are compiled, and may be imported.
	Files map[string]string
	// Roots are folders in which imports are looked for after Files.
	Roots []string
	// Overlay has the text of files that are not on disk yet, by path.
	Overlay map[string]string
	// Elsewhere, which may be nil, is asked for files that are neither there nor
	// in the binary. It returns nil for those that it has not either.
	Elsewhere func(ctx context.Context, path string) (*descriptorpb.FileDescriptorProto, error)
	// Show is how a file on disk is named in errors. The default is as it is.
	Show func(file string) string
}

// Find returns the .proto files below root by the paths that imports name,
// without those for which skip, which may be nil, is true. Folders whose names
// begin with a dot are left out.
func Find(root string, skip func(file string) bool) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case file != root && (strings.HasPrefix(entry.Name(), ".") || skip != nil && skip(file)):
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case entry.IsDir() || filepath.Ext(file) != ".proto":
			return nil
		}
		path, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(path)] = file
		return nil
	})
	return files, err
}

// Result is what compiled.
type Result struct {
	// Files are those of Sources.Files and Overlay, sorted by path.
	Files []protoreflect.FileDescriptor
	// Elsewhere are the paths of those that came from Sources.Elsewhere.
	Elsewhere map[string]bool
	// Warnings are things like imports that nothing uses.
	Warnings Problems
}

// Compile compiles the files of s. When they have mistakes the error is
// [Problems], with the exit code of invalid files.
func Compile(ctx context.Context, s Sources) (*Result, error) {
	names := s.names()
	var faults, warnings Problems
	note := func(list *Problems) func(reporter.ErrorWithPos) {
		return func(e reporter.ErrorWithPos) { *list = append(*list, s.problem(e)) }
	}
	noteFault := note(&faults)
	r := &resolver{Sources: s, ctx: ctx, elsewhere: make(map[string]bool)}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.ResolverFunc(r.resolve),
		SourceInfoMode: protocompile.SourceInfoStandard,
		Reporter: reporter.NewReporter(func(e reporter.ErrorWithPos) error {
			noteFault(e)
			return nil // go on, to find them all
		}, note(&warnings)),
	}
	files, err := compiler.Compile(ctx, names...)
	// What ends the compilation at once, as a missing import does, is not reported.
	if e, ok := errors.AsType[reporter.ErrorWithPos](err); ok && len(faults) == 0 {
		noteFault(e)
	}
	if len(faults) > 0 {
		return nil, exit.With(exit.Invalid, faults.sorted())
	}
	if err != nil {
		if ctx.Err() == nil {
			err = exit.With(exit.Invalid, err)
		}
		return nil, err
	}
	result := &Result{Warnings: warnings.sorted(), Elsewhere: r.elsewhere}
	for _, f := range files {
		result.Files = append(result.Files, f)
	}
	return result, nil
}

func (s *Sources) names() []string {
	var names []string
	for path := range s.Files {
		names = append(names, path)
	}
	for path := range s.Overlay {
		if _, both := s.Files[path]; !both {
			names = append(names, path)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Sources) onDisk(path string) (string, bool) {
	if file, ok := s.Files[path]; ok {
		return file, true
	}
	for _, root := range s.Roots {
		file := filepath.Join(root, filepath.FromSlash(path))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, true
		}
	}
	return "", false
}

// source returns the text of a file by its path.
func (s *Sources) source(path string) (string, error) {
	if text, ok := s.Overlay[path]; ok {
		return text, nil
	}
	file, ok := s.onDisk(path)
	if !ok {
		return "", fs.ErrNotExist
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 16<<20))
	return string(text), err
}

func (s *Sources) problem(e reporter.ErrorWithPos) Problem {
	pos := e.GetPosition()
	p := Problem{File: pos.Filename, Line: pos.Line, Column: pos.Col, Message: e.Unwrap().Error()}
	if text, err := s.source(pos.Filename); err == nil && pos.Line > 0 && pos.Offset <= len(text) {
		// The compiler counts columns with tabs as up to eight; editors want bytes.
		begin := strings.LastIndexByte(text[:pos.Offset], '\n') + 1
		line, _, _ := strings.Cut(text[begin:], "\n")
		p.Column, p.Source = pos.Offset-begin+1, strings.TrimRight(line, "\r")
	}
	if file, ok := s.onDisk(pos.Filename); ok {
		p.File = file
		if s.Show != nil {
			p.File = s.Show(file)
		}
	}
	return p
}

// IsProblems returns the mistakes that err is about, if it is about such.
func IsProblems(err error) (Problems, bool) {
	return errors.AsType[Problems](err)
}
