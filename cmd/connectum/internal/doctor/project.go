package doctor

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The bounds of what is read.
const (
	maxFile  = 2 << 20
	maxFiles = 20_000
)

// Project is what was read of a folder.
type Project struct {
	// Now is the time that certificates are judged by.
	Now time.Time
	// Unread are files that can't be judged, such as templates, and why.
	Unread []string
	// Read counts the files that were judged.
	Read int

	fset      *token.FileSet
	sources   []*source
	objects   []object
	images    []*dockerfile
	certs     []certificate
	framework bool // the sources import it
	readsEnv  bool // and its package env
}

// source is a Go file.
type source struct {
	file    *ast.File
	imports map[string]string // path by name
}

// object is a document of a manifest.
type object struct {
	file string
	node *yaml.Node
}

// certificate is one, and where it is.
type certificate struct {
	where string
	cert  *x509.Certificate
}

// Load reads the folder. Names of files are relative to it.
func Load(dir string) (*Project, error) {
	p := &Project{Now: time.Now(), fset: token.NewFileSet()}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	count := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir():
			if name != "." && (strings.HasPrefix(base, ".") || slices.Contains([]string{"vendor", "node_modules", "testdata"}, base)) {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		if count++; count > maxFiles {
			return fmt.Errorf("%s has more than %d files: name a folder below it", dir, maxFiles)
		}
		return p.read(root.FS(), name)
	})
	if err != nil {
		return nil, err
	}
	for _, s := range p.sources {
		for _, path := range s.imports {
			p.framework = p.framework || path == framework || strings.HasPrefix(path, framework+"/")
			p.readsEnv = p.readsEnv || path == framework+"/env"
		}
	}
	return p, nil
}

const framework = "github.com/connectum-go/connectum"

// read judges a file by its name.
func (p *Project) read(files fs.FS, name string) error {
	var parse func(name string, text []byte) error
	base, ext := filepath.Base(name), filepath.Ext(name)
	switch {
	case ext == ".go" && !strings.HasSuffix(base, "_test.go"):
		parse = p.readGo
	case ext == ".yaml" || ext == ".yml":
		parse = p.readYAML
	case base == "Dockerfile", base == "Containerfile", strings.HasPrefix(base, "Dockerfile."), ext == ".Dockerfile":
		parse = p.readDockerfile
	case slices.Contains([]string{".pem", ".crt", ".cer", ".cert"}, ext):
		parse = p.readPEM
	default:
		return nil
	}
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		p.Unread = append(p.Unread, name+": too large")
		return nil
	}
	if err := parse(name, text); err != nil {
		p.Unread = append(p.Unread, name+": "+strings.TrimPrefix(err.Error(), name+":"))
		return nil
	}
	p.Read++
	return nil
}

func (p *Project) readGo(name string, text []byte) error {
	f, err := parser.ParseFile(p.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(f) {
		return nil
	}
	s := &source{file: f, imports: map[string]string{}}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		alias := filepath.Base(path)
		if len(alias) > 1 && alias[0] == 'v' && strings.Trim(alias[1:], "0123456789") == "" { // connect/v2
			alias = filepath.Base(filepath.Dir(path))
		}
		if i.Name != nil {
			alias = i.Name.Name
		}
		s.imports[alias] = path
	}
	p.sources = append(p.sources, s)
	return nil
}

func (p *Project) readYAML(name string, text []byte) error {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		if err := documents.Decode(&node); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p.addObject(name, &node, 0)
	}
}

// addObject keeps what Kubernetes would take, out of lists as well.
func (p *Project) addObject(name string, node *yaml.Node, depth int) {
	switch {
	case value(node, "kind") == "" || value(node, "apiVersion") == "" || depth > 5:
	case value(node, "kind") == "List":
		for _, item := range items(node, "items") {
			p.addObject(name, item, depth+1)
		}
	default:
		p.objects = append(p.objects, object{name, node})
	}
}

func (p *Project) readPEM(name string, text []byte) error {
	p.addPEM(name, text)
	return nil
}

// addPEM keeps the certificates in text, but not authorities: who trusts those
// has others that end.
func (p *Project) addPEM(where string, text []byte) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			p.certs = append(p.certs, certificate{where, cert})
		}
	}
}

// at names a place in a Go file.
func (p *Project) at(pos token.Pos) string {
	where := p.fset.Position(pos)
	return fmt.Sprintf("%s:%d", where.Filename, where.Line)
}
