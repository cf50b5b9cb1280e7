package target

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// Header is one header of the calls.
type Header struct{ Name, Value string }

// taken are the headers that the protocols set themselves.
var taken = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// ParseHeader reads "Name: value".
func ParseHeader(text string) (Header, error) {
	name, value, found := strings.Cut(text, ":")
	if !found {
		return Header{}, fmt.Errorf("header %q: want 'Name: value'", text)
	}
	value = strings.TrimSpace(value)
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isToken(r) }) {
		return Header{}, fmt.Errorf("header %q: no header has such a name", text)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
		return Header{}, fmt.Errorf("header %s: its value has control characters", name)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if slices.Contains(taken, name) || strings.HasPrefix(name, "Grpc-") || strings.HasPrefix(name, "Connect-") {
		return Header{}, fmt.Errorf("header %s: the protocol sets it itself", name)
	}
	return Header{name, value}, nil
}

// isToken reports whether r may stand in the name of a header.
// See RFC 9110 section 5.6.2.
func isToken(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
