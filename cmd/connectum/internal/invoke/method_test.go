package invoke_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
)

func TestMethodsOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"pkg.v1.Service/Method", "/pkg.v1.Service/Method", "pkg.v1.Service.Method"} {
		if service, method, err := invoke.ParseMethod(text); err != nil || service != "pkg.v1.Service" || method != "Method" {
			t.Errorf("%q: %s, %s, %v", text, service, method, err)
		}
	}
	if service, method, err := invoke.ParseMethod("Service/Method"); err != nil || service != "Service" || method != "Method" {
		t.Errorf("without a package: %s, %s, %v", service, method, err)
	}
	for _, text := range []string{"", "/", "a", "a/", "/b", "a/b/c", "a./b", ".a/b", "a b/c", "a/b c", "a/1b", "a..b"} {
		if service, method, err := invoke.ParseMethod(text); err == nil {
			t.Errorf("%q is taken as %s and %s", text, service, method)
		}
	}
}

func FuzzMethods(f *testing.F) {
	for _, text := range []string{"a.B/C", "/a.B/C", "a.B.C", "//", "a/b/c", "ä/b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		service, method, err := invoke.ParseMethod(text)
		if err != nil {
			return
		}
		if !protoreflect.FullName(service).IsValid() || !protoreflect.Name(method).IsValid() {
			t.Fatalf("%q: %q and %q", text, service, method)
		}
		if s, m, err := invoke.ParseMethod(service + "/" + method); err != nil || s != service || m != method {
			t.Fatalf("%q: %q and %q, then %q and %q, %v", text, service, method, s, m, err)
		}
	})
}
