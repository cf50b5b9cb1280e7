package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for what takes as long as it takes: a
// build on a machine that has much else to do.
const patience = 3 * time.Minute

// setUpProject gives a script what projects are built with, by the variables
// FRAMEWORK, PORT (a free one) and those of the go command: nothing that is
// built or downloaded already is so again.
func setUpProject(env *testscript.Env) error {
	framework, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir() // built plugins
	if err != nil {
		return err
	}
	env.Vars = append(env.Vars, "FRAMEWORK="+framework, "PORT="+port, "LISTEN=127.0.0.1", "XDG_CACHE_HOME="+cache, "GOWORK=off")
	values, err := goEnv()
	for name, value := range values {
		env.Setenv(name, value)
	}
	return err
}

// goEnv asks the go command once. Nobody debugs what scripts build, and writing
// that is two fifths of linking.
var goEnv = sync.OnceValues(func() (map[string]string, error) {
	text, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOFLAGS", "GOTOOLCHAIN").Output()
	if err != nil {
		return nil, err
	}
	var values map[string]string
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	values["GOFLAGS"] = strings.TrimSpace(values["GOFLAGS"] + " -ldflags=-s")
	return values, nil
})

// ports are given once each, from one that is another in each process.
var (
	ports     atomic.Int64
	firstPort = rand.IntN(10_000)
)

// freePort returns a port that stays free until somebody asks for that one: it is
// below those that kernels give to connections and to listeners on port 0, of
// which other tests have many at a time, and below those of examples/guides.
func freePort() (string, error) {
	var last error
	for range 100 {
		port := strconv.Itoa(10_000 + (firstPort+int(ports.Add(1)))%10_000)
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return "", last
}

// post PATH JSON TEXT calls the server of the script until the answer has TEXT.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: post PATH JSON TEXT")
	}
	last := ""
	until(ts, func() bool {
		last = call(ts, args[0], args[1])
		return strings.Contains(last, args[2])
	}, func() string { return "the last answer was " + last })
}

func call(ts *testscript.TestScript, path, body string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:"+ts.Getenv("PORT")+path, strings.NewReader(body))
	if err != nil {
		ts.Fatalf("%v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	// protobuf varies the spaces in JSON on purpose.
	return string(bytes.ReplaceAll(text, []byte(`": `), []byte(`":`)))
}

// terminate sends SIGTERM to what runs in the background, which the kill of
// scripts cannot.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

func until(ts *testscript.TestScript, done func() bool, why func() string) {
	deadline, tick := time.Now().Add(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			ts.Fatalf("not within %s: %s", patience, why())
		}
		<-tick.C
	}
}

// refused wants that nothing listens on the port of the script.
func refused(ts *testscript.TestScript, neg bool, _ []string) {
	conn, err := net.Dial("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	if err == nil {
		conn.Close()
	}
	if (err == nil) != neg {
		ts.Fatalf("listening: %t", err == nil)
	}
}

// replace FILE OLD NEW edits a file as an editor does.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	file := ts.MkAbs(args[0])
	text, err := os.ReadFile(file)
	ts.Check(err)
	if !strings.Contains(string(text), args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(file, []byte(strings.Replace(string(text), args[1], args[2], 1)), 0o644))
}

// unchanged FILE COMMAND... wants that a command does not write a file again.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: unchanged FILE COMMAND...")
	}
	before, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(ts.Exec(args[1], args[2:]...))
	after, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if same := os.SameFile(before, after) && before.ModTime().Equal(after.ModTime()); same == neg {
		ts.Fatalf("%s unchanged: %t", args[0], same)
	}
}

// shows FILE PATTERN waits until a line of a file matches.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows FILE PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	until(ts, func() bool {
		text, err = os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && pattern.Match(text)
	}, func() string { return fmt.Sprintf("%s has %q", args[0], text) })
}

// appears FILE waits until there is a file.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: appears FILE")
	}
	until(ts, func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	}, func() string { return "no " + args[0] })
}
