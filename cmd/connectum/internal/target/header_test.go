package target_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]target.Header{
		"X-A: b":                 {Name: "X-A", Value: "b"},
		"authorization:Bearer x": {Name: "Authorization", Value: "Bearer x"},
		"x-empty:":               {Name: "X-Empty"},
		"x-colon: a:b":           {Name: "X-Colon", Value: "a:b"},
	} {
		if got, err := target.ParseHeader(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a", ": b", "a b: c", "a\r\nb: c", "a: b\r\nc: d", "a: \x00", "ä: b", "Content-Type: x", "te: x", "grpc-timeout: 1S", "Connect-Timeout-Ms: 1"} {
		if got, err := target.ParseHeader(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

// What is taken as a header is one on the wire: no more, no less.
func FuzzHeaders(f *testing.F) {
	for _, text := range []string{"X-A: b", "a: b\nc: d", "a:\x7f", "x-bin: AAEC", "A : b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := target.ParseHeader(text)
		if err != nil {
			return
		}
		var wire strings.Builder
		if err := (http.Header{h.Name: {h.Value}}).Write(&wire); err != nil || wire.String() != h.Name+": "+h.Value+"\r\n" {
			t.Fatalf("%q is written as %q, %v", text, wire.String(), err)
		}
	})
}
