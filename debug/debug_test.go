package debug_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	runtimedebug "runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/debug"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestMain(m *testing.M) { leak.Main(m) }

// running is a server with the package, and the address of its admin listener.
type running struct {
	*connectumtest.Server
	t     *testing.T
	admin string
}

func start(t *testing.T) *running {
	t.Helper()
	logs := connectumtest.RecordLogs(t)
	srv := connectum.New(connectum.Config{AdminAddr: "127.0.0.1:0", Logger: logs.Logger()})
	testservice.Service{}.Register(srv.RPC())
	debug.Register(srv)
	r := &running{Server: connectumtest.Start(t, srv), t: t}
	r.admin = "http://" + logs.Await(t, "server started").Attrs["admin"].(string)
	return r
}

// answer is what came of a request.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (r *running) ask(ctx context.Context, method, url string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body)}, err
}

func (r *running) get(path string) answer {
	r.t.Helper()
	a, err := r.ask(r.t.Context(), "GET", r.admin+path)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// awaitProfile waits until a profile of the CPU is under way.
func (r *running) awaitProfile() {
	r.t.Helper()
	eventually(r.t, "the profile is under way", func() bool {
		return strings.Contains(r.get("/debug/pprof/goroutine?debug=2").body, "debug.sleep(")
	})
}

// parked waits where a dump of goroutines shows it.
func parked(over chan struct{}) { <-over }

func TestOperatorsSeeTheProcess(t *testing.T) { //nolint:paralleltest // a process has one CPU profile at a time
	r, over := start(t), make(chan struct{})
	go parked(over)
	defer close(over)
	for _, test := range []struct{ path, contentType, want string }{
		{"/debug/pprof/", "text/html; charset=utf-8", `<a href="./goroutine?debug=1">goroutine</a>`},
		{"/debug/pprof/goroutine?debug=1", "text/plain; charset=utf-8", "debug_test.parked"},
		{"/debug/pprof/goroutine?debug=2", "text/plain; charset=utf-8", "debug_test.parked("},
		{"/debug/pprof/heap?debug=1", "text/plain; charset=utf-8", "heap profile:"},
		{"/debug/pprof/heap?gc=1", "application/octet-stream", "\x1f\x8b"},
		{"/debug/pprof/allocs", "application/octet-stream", "\x1f\x8b"},
		{"/debug/pprof/mutex?debug=1", "text/plain; charset=utf-8", "--- mutex:"},
		{"/debug/pprof/block?debug=1", "text/plain; charset=utf-8", "--- contention:"},
		{"/debug/pprof/threadcreate", "application/octet-stream", "\x1f\x8b"},
		{"/debug/pprof/profile?seconds=0.05", "application/octet-stream", "\x1f\x8b"},
		{"/debug/pprof/trace?seconds=0.05", "application/octet-stream", "go 1."},
		{"/debug/build", "text/plain; charset=utf-8", "path\tgithub.com/connectum-go/connectum/debug"},
	} {
		got := r.get(test.path)
		if got.code != 200 || got.header.Get("Content-Type") != test.contentType || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: %d, %s, %.200q, want %q", test.path, got.code, got.header.Get("Content-Type"), got.body, test.want)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", test.path, got.header)
		}
	}
	info, err := runtimedebug.ParseBuildInfo(r.get("/debug/build").body)
	if err != nil || info.Main.Path != "github.com/connectum-go/connectum" {
		t.Errorf("%v, %v", info, err)
	}
}

func TestTheListHoldsProfilesOfAnyName(t *testing.T) {
	t.Parallel()
	const name = `cache:db/<b>"hits"`
	if pprof.Lookup(name) == nil { // the test may run twice in a process
		pprof.NewProfile(name)
	}
	r := start(t)
	list := r.get("/debug/pprof/").body
	const link = `<a href="./cache:db%2F%3Cb%3E%22hits%22?debug=1">cache:db/&lt;b&gt;&#34;hits&#34;</a>`
	if !strings.Contains(list, link) {
		t.Errorf("%q has no %q", list, link)
	}
	_, path, _ := strings.Cut(link, `"./`)
	path, _, _ = strings.Cut(path, `"`)
	if got := r.get("/debug/pprof/" + path); got.code != 200 || !strings.HasPrefix(got.body, name+" profile: total 0") {
		t.Errorf("%s: %d, %.200q", path, got.code, got.body)
	}
}

func TestWhatIsAskedWrongly(t *testing.T) {
	t.Parallel()
	r := start(t)
	for path, code := range map[string]int{
		"/debug/pprof/nothing": 404, "/debug/pprof/cmdline": 404, "/debug/pprof/heap/x": 404, "/debug": 404,
		"/debug/pprof/heap?debug=x": 400, "/debug/pprof/heap?gc=x": 400, "/debug/pprof/heap?seconds=1": 400,
		"/debug/pprof/profile?seconds=0": 400, "/debug/pprof/profile?seconds=-1": 400, "/debug/pprof/profile?seconds=301": 400,
		"/debug/pprof/trace?seconds=NaN": 400, "/debug/pprof/trace?seconds=x": 400,
	} {
		if got := r.get(path); got.code != code {
			t.Errorf("%s: %d %s, want %d", path, got.code, got.body, code)
		}
	}
	if got, err := r.ask(t.Context(), "POST", r.admin+"/debug/pprof/heap"); err != nil || got.code != 405 {
		t.Errorf("POST: %d, %v", got.code, err)
	}
}

// Profiles are not for those who reach the port, nor on the mux that programs
// serve by mistake.
func TestNothingIsPublic(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/build"} {
		if got, err := r.ask(t.Context(), "GET", r.URL()+path); err != nil || got.code != 404 {
			t.Errorf("on the port, %s: %d, %v", path, got.code, err)
		}
		req, _ := http.NewRequest("GET", path, nil)
		if _, pattern := http.DefaultServeMux.Handler(req); pattern != "" {
			t.Errorf("http.DefaultServeMux serves %s", path)
		}
	}
	deps := func(pkg string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	for _, global := range []string{"net/http/pprof", "expvar"} {
		if slices.Contains(deps("."), global) {
			t.Errorf("%s is linked: it serves on http.DefaultServeMux", global)
		}
		if !slices.Contains(deps(global), global) {
			t.Errorf("%s is not found where it is", global) // the control
		}
	}
}

// There is one profile of the CPU at a time, and it ends with its client.
func TestACPUProfileEndsWithItsClient(t *testing.T) { //nolint:paralleltest // a process has one CPU profile at a time
	r := start(t)
	leave, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.ask(leave, "GET", r.admin+"/debug/pprof/profile?seconds=300")
		first <- err
	}()
	r.awaitProfile()
	if got := r.get("/debug/pprof/profile?seconds=0.01"); got.code != http.StatusConflict || got.header.Get("Content-Disposition") != "" {
		t.Errorf("a second one: %d %s", got.code, got.body)
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("the first was answered")
	}
	eventually(t, "the first has ended", func() bool { return r.get("/debug/pprof/profile?seconds=0.01").code == 200 })
}

// A stop does not wait for a profile, and leaves none behind.
func TestTheStopEndsAProfile(t *testing.T) { //nolint:paralleltest // a process has one CPU profile at a time
	r := start(t)
	first := make(chan error, 1)
	go func() {
		_, err := r.ask(context.Background(), "GET", r.admin+"/debug/pprof/profile?seconds=300")
		first <- err
	}()
	r.awaitProfile()
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-first; err == nil {
		t.Error("the profile of a server that is gone was answered")
	}
	again := start(t)
	eventually(t, "it has ended", func() bool { return again.get("/debug/pprof/profile?seconds=0.01").code == 200 })
}

func TestGoToolPprofReadsIt(t *testing.T) { //nolint:paralleltest // a process has one CPU profile at a time
	r := start(t)
	for _, test := range []struct{ profile, want string }{
		{"heap", "Type: inuse_space"}, {"goroutine", "Type: goroutine"}, {"profile?seconds=1", "Type: cpu"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-top", r.admin+"/debug/pprof/"+test.profile)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v\n%s%s", test.profile, err, out, stderr.String())
		}
	}
}

func TestWithoutAdminAddrTheServerDoesNotStart(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0"})
	debug.Register(srv)
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.AdminAddr is empty") || !strings.Contains(err.Error(), "/debug/pprof/") {
		t.Errorf("Run returned %v", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(late) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}
