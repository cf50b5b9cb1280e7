package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cmd/connectum/internal/cli"
	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

func quiet() connectum.Config {
	return connectum.Config{Logger: slog.New(slog.DiscardHandler)}
}

// run runs a command line, and returns its exit code and what it wrote.
func run(ctx context.Context, in io.Reader, args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = cli.Run(ctx, args, &term.IO{In: in, Out: &o, Err: &e, Dir: ".", Env: os.Getenv})
	return code, o.String(), e.String()
}

// The messages of a conversation go out as they are typed, and the answers show
// before the next is.
func TestAConversationIsOne(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	for _, protocol := range []string{"connect", "grpc", "grpcweb"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			in, typed := io.Pipe()
			shown, out := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				ended <- cli.Run(t.Context(), []string{"call", s.URL(), "connectum.test.v1.TestService/Chat", "--protocol", protocol},
					&term.IO{In: in, Out: out, Err: io.Discard, Env: os.Getenv})
				out.Close()
			}()
			lines := bufio.NewScanner(shown)
			for _, word := range []string{"one", "two", "three"} {
				if _, err := io.WriteString(typed, `{"text":"`+word+`"}`+"\n"); err != nil {
					t.Fatal(err)
				}
				if !lines.Scan() || lines.Text() != `{"text":"`+word+`"}` {
					t.Fatalf("typed %s, shown %q", word, lines.Text())
				}
			}
			typed.Close()
			if lines.Scan() {
				t.Errorf("shown beyond the end: %q", lines.Text())
			}
			if code := <-ended; code != exit.OK {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// A call whose stream the server ends does not wait for more to be typed.
func TestAStreamThatTheServerEndsIsOver(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{OnChat: hangUp}.Register(srv.RPC())
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	in, typed := io.Pipe() // nobody types
	defer typed.Close()
	code, out, errs := run(t.Context(), in, "call", s.URL(), "connectum.test.v1.TestService/Chat")
	if code != exit.RPC || out != "" || !strings.Contains(errs, "resource_exhausted: enough") {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}

// Nothing of this schema is linked into the program: the details of errors are
// decoded by what the server tells of them.
func TestDetailsOfAnyTypeTheServerKnowsAreDecoded(t *testing.T) {
	t.Parallel()
	result, err := compile.Compile(t.Context(), compile.Sources{Overlay: map[string]string{"shop/v1/shop.proto": `syntax = "proto3";
package shop.v1;
service ShopService { rpc Buy(BuyRequest) returns (BuyResponse); }
message BuyRequest { string item = 1; }
message BuyResponse {}
message SoldOut { string item = 1; int32 back_in_days = 2; }
`}})
	if err != nil {
		t.Fatal(err)
	}
	file := result.Files[0]
	method := file.Services().Get(0).Methods().Get(0)
	reason := dynamicpb.NewMessage(file.Messages().ByName("SoldOut"))
	reason.Set(reason.Descriptor().Fields().ByName("item"), protoreflect.ValueOfString("tea"))
	reason.Set(reason.Descriptor().Fields().ByName("back_in_days"), protoreflect.ValueOfInt32(3))
	wire, err := proto.Marshal(reason)
	if err != nil {
		t.Fatal(err)
	}
	srv := connectum.New(quiet())
	srv.RPC().Register(connect.Method{
		Spec: connect.Spec{Procedure: "/shop.v1.ShopService/Buy", Schema: method},
		Handler: func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
			if err := stream.Receive(dynamicpb.NewMessage(method.Input())); err != nil {
				return err
			}
			return connect.NewError(connect.CodeFailedPrecondition, "sold out").
				WithDetail(&connect.ErrorDetail{Type: "shop.v1.SoldOut", Value: wire}).
				WithDetail(&connect.ErrorDetail{Type: "nobody.v1.Knows", Value: []byte{1}})
		},
	})
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	for _, protocol := range []string{"connect", "grpc", "grpcweb"} {
		code, out, errs := run(t.Context(), strings.NewReader(""), "call", s.URL(), "shop.v1.ShopService/Buy", "-d", `{"item":"tea"}`, "--protocol", protocol)
		want := "error: failed_precondition: sold out\n  shop.v1.SoldOut {\"item\":\"tea\",\"backInDays\":3}\n  nobody.v1.Knows (of unknown type)\n"
		if code != exit.RPC || out != "" || errs != want {
			t.Errorf("%s: exit code %d, %q, %q", protocol, code, out, errs)
		}
	}
}

func TestAnInterruptEndsACall(t *testing.T) {
	t.Parallel()
	srv := connectum.New(quiet())
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	s := connectumtest.Start(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	in, typed := io.Pipe()
	defer typed.Close()
	go func() {
		_, _ = io.WriteString(typed, `{"text":"one"}`)
		cancel()
	}()
	if code, _, errs := run(ctx, in, "call", s.URL(), "connectum.test.v1.TestService/Chat"); code != exit.Failed || !strings.Contains(errs, "interrupted") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

// Every command has an example, and says in its help what its flags do.
func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"call"}, {"list"}, {"describe"}, {"proto", "sync"}, {"health"}, {"bench"}, {"doctor"}} {
		code, out, _ := run(t.Context(), nil, append(command, "--help")...)
		if code != exit.OK || !strings.Contains(out, "Examples:\n  connectum "+strings.Join(command, " ")) {
			t.Errorf("%v: exit code %d\n%s", command, code, out)
		}
	}
}

// The protos of --proto are named as on disk, or as imports do.
func TestProtosAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "shop", "v1", "shop.proto")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("syntax = \"proto3\";\npackage shop.v1;\nservice ShopService {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--proto", file},
		{"--proto", file, "--import-path", dir},
		{"--proto", "shop/v1/shop.proto", "--import-path", dir},
	} {
		code, out, errs := run(t.Context(), nil, append([]string{"list"}, args...)...)
		if code != exit.OK || out != "shop.v1.ShopService\n" {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out, errs)
		}
	}
}
