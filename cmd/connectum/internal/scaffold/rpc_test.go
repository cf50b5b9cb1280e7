package scaffold_test

import (
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/scaffold"
)

func TestMethodsAreReadAsProtoFilesHaveThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Get":                                     "rpc Get(GetRequest) returns (GetResponse)",
		"Get(A)returns(B)":                        "rpc Get(A) returns (B)",
		" rpc Get ( A ) returns ( stream B ) ; ":  "rpc Get(A) returns (stream B)",
		"rpc Get(A) returns (B) { }":              "rpc Get(A) returns (B)",
		"Put(stream A) returns (B)":               "rpc Put(stream A) returns (B)",
		"Chat(stream A) returns (stream a.v1.B)":  "rpc Chat(stream A) returns (stream a.v1.B)",
		"Get(.google.protobuf.Empty) returns (B)": "rpc Get(google.protobuf.Empty) returns (B)",
	} {
		rpc, err := scaffold.ParseRPC(text)
		if err != nil || rpc.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, rpc, err, want)
		}
	}
	for _, text := range []string{
		"", "get", "Get()", "Get(A)", "Get(A) returns", "Get(A) returns ()", "Get(A) returns (B) {", "Get(A) returns (B) { option deprecated = true; }", "Get(streamA B) returns (C)",
		"Get(A..B) returns (C)", "Get(a) returns (B)", "Get(A) returns (B)\nrpc Put(A) returns (B)", "Get(A) returns (B); }", "Ge t", strings.Repeat("A", 2000),
	} {
		if rpc, err := scaffold.ParseRPC(text); exit.Code(err) != exit.Usage {
			t.Errorf("%q is %q, %v", text, rpc, err)
		}
	}
}

func TestNamesOfServices(t *testing.T) {
	t.Parallel()
	if pkg, name, err := scaffold.ParseService("acme.shop.v1.OrderService"); pkg != "acme.shop.v1" || name != "OrderService" || err != nil {
		t.Errorf("%q, %q, %v", pkg, name, err)
	}
	for _, full := range []string{"", ".", "Shop", "shop.v1.", ".Shop", "shop..Shop", "Shop.v1.Shop", "shop.v1.shop", "shop/v1.Shop", "../x.Shop", "shop.v1.Shop\n", "1.Shop"} {
		if _, _, err := scaffold.ParseService(full); exit.Code(err) != exit.Usage {
			t.Errorf("%q: %v", full, err)
		}
	}
}

// What is accepted is a line of a .proto file, and nothing more: it reads back
// as itself.
func FuzzParseRPC(f *testing.F) {
	for _, seed := range []string{"Get", "Get(A) returns (B)", "rpc Put(stream .a.B) returns (stream c.D);", "Get(A", "\x00", "Get(A) returns (B) // x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rpc, err := scaffold.ParseRPC(text)
		if err != nil {
			if exit.Code(err) != exit.Usage {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		line := rpc.String()
		if strings.ContainsAny(line, "\n\r{};/\"'") {
			t.Errorf("%q became %q", text, line)
		}
		if again, err := scaffold.ParseRPC(line); err != nil || again != rpc {
			t.Errorf("%q became %q, which is %q, %v", text, line, again, err)
		}
	})
}

// A name never leads out of the folder it becomes.
func FuzzParseService(f *testing.F) {
	for _, seed := range []string{"shop.v1.OrderService", "a.B", "..", "a/b.C", "a.v1.C\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, full string) {
		pkg, name, err := scaffold.ParseService(full)
		if err != nil {
			return
		}
		if pkg+"."+name != full || strings.ContainsAny(full, "/\\ \n\"") || strings.Contains(full, "..") {
			t.Errorf("%q is %q and %q", full, pkg, name)
		}
	})
}
