package scaffold

import (
	"errors"
	"fmt"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/module"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

// maxName leaves room for what Kubernetes adds to the names of its objects.
const maxName = 40

var nameForm = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

// checkName accepts what can be a folder, an image and a Kubernetes object.
func checkName(name string) error {
	if len(name) > maxName || !nameForm.MatchString(name) || strings.Contains(name, "--") {
		return exit.With(exit.Usage, fmt.Errorf(
			"name %q: want lower-case letters, digits and single hyphens, a letter first, at most %d of them, such as shop or user-service", name, maxName))
	}
	return checkFolders(fmt.Sprintf("name %q", name), word(name))
}

// special are folders that the go command treats in its own way. Code is in
// folders that follow the names of services and their packages.
var special = []string{"internal", "testdata", "vendor"}

// checkFolders refuses words that would become such folders.
func checkFolders(what string, words ...string) error {
	for _, w := range words {
		if slices.Contains(special, w) {
			return exit.With(exit.Usage, fmt.Errorf("%s: folders called %s are special to the go command: take another name", what, w))
		}
	}
	return nil
}

func checkModule(path string) error {
	if err := module.CheckImportPath(path); err != nil {
		return exit.With(exit.Usage, fmt.Errorf("module %q: %w", path, errors.Unwrap(err)))
	}
	if path == project.Framework || strings.HasPrefix(path, project.Framework+"/") {
		return exit.With(exit.Usage, fmt.Errorf("module %q is the framework's own", path))
	}
	return nil
}

// taken are names that our programs and tests import or declare; a test finds
// them all.
var taken = []string{
	"cmp", "connect", "connectum", "connectumtest", "context", "env", "errors", "health", "interceptor", "io", "log", "main",
	"net", "os", "reflection", "slog", "sync", "synctest", "telemetry", "telemetrytest", "testing", "time", "timestamppb",
	"addr", "cancel", "certs", "cfg", "checks", "client", "config", "ctx", "d", "do", "done", "err", "failed", "got", "item", "items", "job", "jobs",
	"logger", "q", "queue", "rec", "req", "res", "settings", "span", "srv", "stream", "t", "takes", "tel",
	"internal", "vendor", "testdata", // special to the go command
}

// packageName makes a Go package of a word.
func packageName(word string) string {
	word = strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return r
	}, word))
	if token.IsKeyword(word) || predeclared(word) || slices.Contains(taken, word) {
		return word + "svc"
	}
	return word
}

func predeclared(word string) bool {
	return slices.Contains([]string{
		"any", "bool", "byte", "comparable", "complex64", "complex128", "error", "float32", "float64", "int", "int8", "int16", "int32", "int64",
		"rune", "string", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr", "true", "false", "iota", "nil",
		"append", "cap", "clear", "close", "complex", "copy", "delete", "imag", "len", "make", "max", "min", "new", "panic", "print", "println", "real", "recover",
	}, word)
}

// typeName makes a Go type of words with hyphens: user-profile, UserProfile.
func typeName(name string) string {
	var out strings.Builder
	for word := range strings.SplitSeq(name, "-") {
		if word != "" {
			out.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return out.String()
}

// snake makes a file name of a type: UserProfile, user_profile.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// platforms are what a Go file is built for alone when its name ends in one, as
// store_js.pb.go would (see 'go help buildconstraint').
var platforms = []string{
	"aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris",
	"wasip1", "windows", "zos",
	"386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le",
	"ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
}

// protoName names the .proto file of a service, whose Go code is built everywhere.
func protoName(snake string) string {
	if i := strings.LastIndexByte(snake, '_'); i >= 0 && slices.Contains(platforms, snake[i+1:]) {
		snake += "_service"
	}
	return snake + ".proto"
}
