package compile_test

import (
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

func one(text string) compile.Sources {
	return compile.Sources{Overlay: map[string]string{"a.proto": text}}
}

func TestImportsAreInTheBinary(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"buf/validate/validate.proto", "google/api/annotations.proto", "google/api/field_behavior.proto", "google/api/httpbody.proto",
		"google/api/service.proto", "google/api/error_reason.proto", "google/api/config_change.proto", "google/api/expr/v1alpha1/syntax.proto",
		"google/api/expr/v1beta1/expr.proto", "google/rpc/http.proto", "google/rpc/context/audit_context.proto",
		"google/rpc/error_details.proto", "google/type/money.proto", "google/protobuf/any.proto", "google/protobuf/go_features.proto",
	} {
		r, err := compile.Compile(t.Context(), one("syntax = \"proto3\";\nimport \""+path+"\";\n"))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(r.Warnings) != 1 || r.Warnings[0].Line != 2 {
			t.Errorf("%s: an import that nothing uses is told as %v", path, r.Warnings)
		}
	}
}

func TestMistakesAreShownAtTheirPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"syntax = \"proto3\";\nmessage A { B b = 1; }\n":              "a.proto:2:13: field A.b: unknown type B\n    2 | message A { B b = 1; }\n      |             ^",
		"syntax = \"proto3\";\nmessage A {\n\t/* ö */\tB b = 1;\n}\n": "a.proto:3:11: field A.b: unknown type B\n    3 | \t/* ö */\tB b = 1;\n      | \t       \t^",
		"syntax = \"proto3\";\r\nimport \"none.proto\";\r\n":          "a.proto:2:8: could not resolve path \"none.proto\": no such file in the project, and connectum does not bring it along\n    2 | import \"none.proto\";\n      |        ^",
		"syntax = \"proto3\"\nmessage A {}\n":                         "a.proto:2:1: syntax error: unexpected \"message\", expecting string literal or ';'\n    2 | message A {}\n      | ^",
		"edition = \"2024\";\n":                                       "a.proto:1:11: edition value \"2024\" not recognized; should be one of [\"2023\"]\n    1 | edition = \"2024\";\n      |           ^",
	} {
		_, err := compile.Compile(t.Context(), one(text))
		problems, ok := compile.IsProblems(err)
		if !ok || exit.Code(err) != exit.Invalid {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := problems[0].String() + "\n" + problems[0].Excerpt(); got != want {
			t.Errorf("%q is\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestEveryMistakeIsTold(t *testing.T) {
	t.Parallel()
	_, err := compile.Compile(t.Context(), compile.Sources{Overlay: map[string]string{
		"a.proto": "syntax = \"proto3\";\nmessage A { B b = 1; }\nmessage C { D d = 1; }\n",
		"b.proto": "syntax = \"proto3\";\nmessage E { F f = 1; }\n",
	}})
	if n := strings.Count(err.Error(), "unknown type"); n != 3 {
		t.Errorf("%d mistakes are told, want 3:\n%v", n, err)
	}
}

// Strangers' bytes compile or are mistakes with a place; nothing panics.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"", "syntax = \"proto3\";", "message A { B b = 1; }", "\xff\xfe", "edition = \"2023\"; message A { group B = 1 {} }",
		"syntax = \"proto3\"; import \"buf/validate/validate.proto\"; message A { string s = 1 [(buf.validate.field).string.min_len = 1]; }",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := compile.Compile(t.Context(), one(text))
		problems, ok := compile.IsProblems(err)
		if err != nil && !ok && exit.Code(err) != exit.Invalid {
			t.Errorf("%q: %v", text, err)
		}
		for _, p := range problems {
			p.Excerpt()
			if p.File == "" || p.Message == "" {
				t.Errorf("%q: %+v", text, p)
			}
		}
	})
}
