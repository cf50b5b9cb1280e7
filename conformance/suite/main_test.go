// Package suite_test runs the official conformance suite of ConnectRPC against
// a server and a client assembled with connectum. What the suite starts is this
// test binary run anew.
package suite_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/connectum-go/connectum"
	conformancev1 "github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1"
	"github.com/connectum-go/connectum/internal/leak"
)

// roleKey is the variable of the environment that makes the test binary what
// the suite tests.
const roleKey = "CONNECTUM_TEST_SUITE"

var roles = map[string]func() error{
	"server":        func() error { return serve(os.Stdin, os.Stdout, assemble) },
	"native server": func() error { return serve(os.Stdin, os.Stdout, native) },
	"server that forgets trailers": func() error {
		return serve(os.Stdin, os.Stdout, assemble, connectum.Wrap("forget", withoutTrailers))
	},
	"server that takes every message for too large": func() error {
		return serve(os.Stdin, os.Stdout, func(req *conformancev1.ServerCompatRequest, more ...connectum.Interceptor) (*connectum.Server, error) {
			req.MessageReceiveLimit = 1
			return assemble(req, more...)
		})
	},
	"client": func() error { return call(os.Stdin, os.Stdout) },
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleKey)
	if role == "" {
		leak.Main(m)
		return
	}
	if err := roles[role](); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1) //nolint:forbidigo // a process of its own runs this
	}
}
