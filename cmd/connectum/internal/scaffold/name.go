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
	"internal", "vendor", "testdata",
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
