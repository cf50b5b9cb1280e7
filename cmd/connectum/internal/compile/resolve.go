package compile

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
)

// resolver finds what is imported in one compilation.
type resolver struct {
	Sources
	ctx context.Context // of the compilation; resolving has no argument for it

	mu        sync.Mutex
	elsewhere map[string]bool // guarded by mu
}

// resolve prefers what the project has over what the binary has: a project
// with a copy of validate.proto compiles against its own.
func (r *resolver) resolve(path string) (protocompile.SearchResult, error) {
	if text, ok := r.Overlay[path]; ok {
		return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
	}
	if file, ok := r.onDisk(path); ok {
		source, err := os.Open(file)
		return protocompile.SearchResult{Source: source}, err
	}
	if file := Linked(path); file != nil {
		return protocompile.SearchResult{Desc: file}, nil
	}
	if r.Elsewhere == nil {
		return protocompile.SearchResult{}, errors.New("no such file in the project, and connectum does not bring it along")
	}
	// One at a time: what is slow about the first is done for the others too.
	r.mu.Lock()
	defer r.mu.Unlock()
	file, err := r.Elsewhere(r.ctx, path)
	switch {
	case err != nil:
		return protocompile.SearchResult{}, err
	case file != nil:
		r.elsewhere[path] = true
		return protocompile.SearchResult{Proto: file}, nil
	}
	return protocompile.SearchResult{}, errors.New("no such file in the project, and neither connectum nor a module of go.mod brings it along" + advice(path))
}

// comesWith are modules with the code of schemas that many import and that
// the binary does not link, for they link gRPC.
var comesWith = []struct{ prefix, module string }{
	{"google/longrunning/", "cloud.google.com/go/longrunning"},
	{"google/iam/v1/", "cloud.google.com/go/iam"},
	{"protoc-gen-openapiv2/", "github.com/grpc-ecosystem/grpc-gateway/v2"},
}

func advice(path string) string {
	for _, c := range comesWith {
		if strings.HasPrefix(path, c.prefix) {
			return "; 'go get " + c.module + "' brings it, and the code that yours will import"
		}
	}
	return ""
}
