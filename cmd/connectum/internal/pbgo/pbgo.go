// Package pbgo finds schemas in Go code. What protoc-gen-go writes holds the
// descriptor of the .proto file it was written for, so a Go module with
// generated code brings its schemas along, whether or not it has the files.
package pbgo

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// maxFile bounds what is read of a file: the largest known has 3 MB.
const maxFile = 16 << 20

// Find returns the descriptor of the file that imports name as name, from the
// generated code below dirs, of which the first that has it counts; nil when
// none has.
func Find(dirs []string, name string) (*descriptorpb.FileDescriptorProto, error) {
	base := strings.TrimSuffix(path.Base(name), ".proto") + ".pb.go"
	for _, dir := range dirs {
		found, err := findIn(dir, base, name)
		if found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// findIn looks at the files below dir whose name is base, as the generator
// would have named them.
func findIn(dir, base, name string) (found *descriptorpb.FileDescriptorProto, err error) {
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if file != dir && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		case entry.Name() != base || !entry.Type().IsRegular():
			return nil
		}
		if info, err := entry.Info(); err != nil || info.Size() > maxFile {
			return err
		}
		code, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !bytes.Contains(code, []byte("\n// source: "+name+"\n")) {
			return nil
		}
		d, err := Descriptor(code)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if d.GetName() != name {
			return nil
		}
		found = d
		return fs.SkipAll
	})
	return found, err
}

// ErrNone is the error of [Descriptor] for code that holds no descriptor in the
// form that protoc-gen-go writes since v1.20.
var ErrNone = errors.New("no descriptor in the code")

// Descriptor returns the descriptor that the code of a Go file holds.
func Descriptor(code []byte) (*descriptorpb.FileDescriptorProto, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", code, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Names) != 1 || len(value.Values) != 1 || !strings.HasSuffix(value.Names[0].Name, "_rawDesc") {
				continue
			}
			wire, ok := text(value.Values[0])
			if !ok {
				return nil, ErrNone
			}
			d := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(wire, d); err != nil {
				return nil, err
			}
			return d, nil
		}
	}
	return nil, ErrNone
}

// text evaluates a descriptor as generators write it: a chain of string
// literals, or bytes one by one, with or without a conversion around them.
func text(e ast.Expr) ([]byte, bool) {
	if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 {
		e = call.Args[0]
	}
	if list, ok := e.(*ast.CompositeLit); ok {
		out := make([]byte, 0, len(list.Elts))
		for _, element := range list.Elts {
			lit, ok := element.(*ast.BasicLit)
			if !ok {
				return nil, false
			}
			n, err := strconv.ParseUint(lit.Value, 0, 8)
			if err != nil {
				return nil, false
			}
			out = append(out, byte(n))
		}
		return out, true
	}
	var parts []string // the last first
	for {
		last := e
		sum, more := e.(*ast.BinaryExpr)
		if more {
			last, e = sum.Y, sum.X
		}
		lit, ok := last.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING || more && sum.Op != token.ADD {
			return nil, false
		}
		part, err := strconv.Unquote(lit.Value)
		if err != nil {
			return nil, false
		}
		parts = append(parts, part)
		if !more {
			break
		}
	}
	var out bytes.Buffer
	for i := len(parts) - 1; i >= 0; i-- {
		out.WriteString(parts[i])
	}
	return out.Bytes(), true
}
