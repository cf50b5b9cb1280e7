package main

import (
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run the program: the test binary is it, under the
// name connectum.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"connectum": main})
}

// TestScripts runs testdata/script. A script may, beside the usual commands,
//
//	code N connectum ...     run the program, which must exit with N
//	serve NAME [OPTION...]   start a server of its own; see serve_test.go
//	post, terminate, ...  see project_script_test.go
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return errors.Join(setUp(t, env), setUpProject(env)) },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":  exitsWith,
			"serve": serve, "called": called,

			"post": post, "terminate": terminate, "refused": refused, "replace": replace, "unchanged": unchanged, "appears": appears, "shows": shows,
		},
	})
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func has(args []string, option string) bool { return slices.Contains(args, option) }
