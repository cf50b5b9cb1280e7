package scaffold

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// RPC is a method to add.
type RPC struct {
	Name      string
	In, Out   string // message names; with dots they are full
	InStream  bool
	OutStream bool
}

// maxInput bounds names and methods on the command line.
const maxInput = 1000

var rpcForm = regexp.MustCompile(`^\s*(?:rpc\s+)?([A-Z][A-Za-z0-9]*)\s*` +
	`(?:\(\s*(stream\s+)?(\.?[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)\s*\)\s*` +
	`returns\s*\(\s*(stream\s+)?(\.?[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)\s*\))?\s*(?:;|\{\s*\})?\s*$`)

// ParseRPC reads a method as .proto files have it, such as
// Get(GetRequest) returns (stream GetResponse), or its name alone, which means
// Get(GetRequest) returns (GetResponse).
func ParseRPC(text string) (RPC, error) {
	m := rpcForm.FindStringSubmatch(text)
	if m == nil || len(text) > maxInput {
		if len(text) > 80 {
			text = text[:80] + "..."
		}
		return RPC{}, exit.With(exit.Usage, fmt.Errorf("method %q: want 'Name(In) returns (Out)', with 'stream' before In or Out where there is one", text))
	}
	r := RPC{Name: m[1], InStream: m[2] != "", In: strings.TrimPrefix(m[3], "."), OutStream: m[4] != "", Out: strings.TrimPrefix(m[5], ".")}
	if r.In == "" {
		r.In, r.Out = r.Name+"Request", r.Name+"Response"
	}
	for _, name := range []string{r.In, r.Out} {
		if !strings.Contains(name, ".") && !typeForm.MatchString(name) {
			return RPC{}, exit.With(exit.Usage, fmt.Errorf("method %s: message %q: want a name such as GetRequest", r.Name, name))
		}
	}
	return r, nil
}

// String is the method as .proto files have it.
func (r RPC) String() string {
	stream := func(yes bool) string {
		if yes {
			return "stream "
		}
		return ""
	}
	return fmt.Sprintf("rpc %s(%s%s) returns (%s%s)", r.Name, stream(r.InStream), r.In, stream(r.OutStream), r.Out)
}

var (
	packageForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	typeForm    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	versionForm = regexp.MustCompile(`^v[1-9][0-9]*([a-z]+[0-9]*)?$`)
)

// ParseService splits the full name of a service into its package and its own.
func ParseService(full string) (pkg, name string, err error) {
	if i := strings.LastIndexByte(full, '.'); i > 0 && len(full) <= maxInput {
		if pkg, name = full[:i], full[i+1:]; packageForm.MatchString(pkg) && typeForm.MatchString(name) {
			return pkg, name, checkFolders(fmt.Sprintf("service %q", full), strings.Split(pkg, ".")...)
		}
	}
	if len(full) > 80 {
		full = full[:80] + "..."
	}
	return "", "", exit.With(exit.Usage, fmt.Errorf("service %q: want package and name, such as shop.v1.OrderService", full))
}
