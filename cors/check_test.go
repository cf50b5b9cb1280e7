package cors_test

import (
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cors"
)

func TestCheckNamesEveryMistake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config cors.Config
		want   string // empty if the config is right
	}{
		{"zero value", cors.Config{}, ""},
		{"origins", cors.Config{Origins: []string{"https://a.example.com", "http://localhost:5173", "HTTPS://B.example.com", "https://*.example.com:8443", "tauri://localhost", "http://[::1]:3000"}, Credentials: true}, ""},
		{"star", cors.Config{Origins: []string{"*"}}, ""},
		{"star with credentials", cors.Config{Origins: []string{"*"}, Credentials: true}, `Origins[0]: "*" can't go with Credentials`},
		{"star among others", cors.Config{Origins: []string{"https://a.example.com", "*"}}, `Origins[1]: "*" allows everyone`},
		{"null", cors.Config{Origins: []string{"null"}}, "is the origin of any page"},
		{"empty", cors.Config{Origins: []string{""}}, "is no origin"},
		{"host alone", cors.Config{Origins: []string{"example.com"}}, "is no origin"},
		{"host and port alone", cors.Config{Origins: []string{"localhost:3000"}}, "is no origin"},
		{"slash at the end", cors.Config{Origins: []string{"https://example.com/"}}, `want "https://example.com"`},
		{"path", cors.Config{Origins: []string{"https://example.com/app"}}, "is more than an origin"},
		{"user", cors.Config{Origins: []string{"https://me@example.com"}}, "is more than an origin"},
		{"default port", cors.Config{Origins: []string{"https://example.com:443"}}, `want "https://example.com"`},
		{"colon without port", cors.Config{Origins: []string{"https://example.com:"}}, `want "https://example.com"`},
		{"not punycode", cors.Config{Origins: []string{"https://bücher.example"}}, "punycode"},
		{"everything of a scheme", cors.Config{Origins: []string{"https://*"}}, "too wide"},
		{"everything of a top-level domain", cors.Config{Origins: []string{"https://*.com"}}, "too wide"},
		{"part of a label", cors.Config{Origins: []string{"https://app*.example.com"}}, "too wide"},
		{"two wildcards", cors.Config{Origins: []string{"https://*.*.example.com"}}, "too wide"},
		{"header wildcard", cors.Config{Headers: []string{"*"}}, `Headers[0]: "*" is no name`},
		{"header with a space", cors.Config{ExposedHeaders: []string{"X-Ok", "X Bad"}}, "ExposedHeaders[1]"},
		{"empty trailer", cors.Config{Trailers: []string{""}}, "Trailers[0]"},
		{"method in lower case", cors.Config{Methods: []string{"delete"}}, "upper case"},
		{"forbidden method", cors.Config{Methods: []string{"TRACE"}}, "Methods[0]"},
	} {
		err := test.config.Check()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want %s in it", test.name, err, test.want)
		}
	}
}

func TestNewPanicsWithEveryMistake(t *testing.T) {
	t.Parallel()
	defer func() {
		err, _ := recover().(error)
		if err == nil || strings.Count(err.Error(), "cors: Config.") != 2 {
			t.Errorf("panic %v, want a report of two mistakes", err)
		}
	}()
	cors.New(cors.Config{Origins: []string{"*"}, Credentials: true, Headers: []string{"*"}})
}
