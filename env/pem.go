package env

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// PEM is the path of a PEM file, or PEM itself. Printed, logged or marshalled
// it shows the path, but never inline PEM.
type PEM struct {
	// A pointer, because the printing of unexported fields calls no methods.
	value *string
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *PEM) UnmarshalText(text []byte) error {
	value := string(text)
	p.value = &value
	return nil
}

// MarshalText implements [encoding.TextMarshaler]. What was hidden can't be
// read back.
func (p PEM) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the path, or a note that there is inline PEM.
func (p PEM) String() string {
	if inline := p.Inline(); inline != nil {
		return fmt.Sprintf("(inline PEM, %d bytes)", len(inline))
	}
	return p.File()
}

// File returns the path of the file, or nothing when the PEM is inline.
func (p PEM) File() string {
	if p.value == nil || isInline(*p.value) {
		return ""
	}
	return *p.value
}

// Inline returns the PEM when it is inline.
func (p PEM) Inline() []byte {
	if p.value == nil || !isInline(*p.value) {
		return nil
	}
	return []byte(*p.value)
}

func isInline(value string) bool { return strings.Contains(value, "-----BEGIN") }

// check implements checker. Whether certificates are valid and fit the key is
// for the server to say. No part of the value may be in the error unless it is
// surely a path: what is taken for one may be a key that lost its first line.
func (p PEM) check(tag reflect.StructTag) error {
	want := tag.Get("pem")
	if file := p.File(); file != "" {
		info, err := os.Stat(file)
		var path *fs.PathError
		switch {
		case errors.As(err, &path):
			return fmt.Errorf("want a PEM file or PEM; %s can't be read: %w", named(file), path.Err)
		case err != nil:
			return fmt.Errorf("want a PEM file or PEM; %s can't be read", named(file))
		case info.IsDir():
			return errors.New("want a PEM file or PEM, not a directory")
		}
		return nil
	}
	rest := p.Inline()
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if want == "" || strings.HasSuffix(block.Type, want) {
			return nil
		}
	}
	if strings.Contains(*p.value, `\n`) {
		return errors.New(`want PEM with real line breaks instead of \n`)
	}
	return fmt.Errorf("want PEM with a complete block of type %s", strings.ToUpper(want))
}

// named returns what an error calls the file of this path. Keys are base64, in
// which there are no dots.
func named(file string) string {
	hidden := func(r rune) bool { return r <= ' ' || r == utf8.RuneError || !unicode.IsPrint(r) }
	if len(file) > 255 || !strings.Contains(file, ".") || strings.Contains(file, "--") || strings.ContainsFunc(file, hidden) {
		return "a file of this name"
	}
	return strconv.Quote(file)
}
