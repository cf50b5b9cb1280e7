//go:build unix

package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum/connectumtest"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/internal/guide"
)

// What differs from run to run.
var (
	readmeTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	readmeID   = regexp.MustCompile(`internal error, id [a-z0-9]+`)
	readmeAge  = regexp.MustCompile(`"ageSeconds":[\d.e-]+`)
)

func TestReadmeShowsWhatTheCommandsPrint(t *testing.T) {
	t.Parallel()
	addr, admin := serve(t)
	guide.Run(t, "README.md", guide.Setup{
		Dir:     "../..", // the repository, where its README says to stand
		Env:     []string{guide.WithPath(guide.Tool(t, "../../tools/grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl"))},
		Replace: strings.NewReplacer("localhost:5000", addr, "localhost:9090", admin),
		Mask:    []*regexp.Regexp{readmeTime, readmeID, readmeAge},
	})
}

// With TLS_CERT and TLS_KEY the same port speaks TLS, and the admin listener does
// not: there are the details of health and the profiles.
func TestTheProgramSpeaksTLS(t *testing.T) {
	t.Parallel()
	certs := connectumtest.Certs(t)
	addr, admin := serve(t, "TLS_CERT="+certs.Server.CertFile, "TLS_KEY="+certs.Server.KeyFile)
	for _, two := range []bool{false, true} {
		p := new(http.Protocols)
		p.SetHTTP1(!two)
		p.SetHTTP2(two)
		tr := &http.Transport{Protocols: p, TLSClientConfig: certs.Trust()}
		defer tr.CloseIdleConnections()
		client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: tr}, "https://"+addr)))
		res, err := client.SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
		if err != nil || res.GetMessage() != "Hello, Ada!" {
			t.Errorf("HTTP/2 %t: %v, %v", two, res, err)
		}
	}
	for path, want := range map[string]string{"/readyz?verbose": `"checks":[{"name":"database","status":"SERVING"`, "/debug/pprof/goroutine?debug=1": "goroutine profile"} {
		res, err := http.Get("http://" + admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s on the admin listener: %v, %s", path, err, text)
		}
	}
}

// serve runs the program, as a container would, and returns its addresses when its
// readiness says that it may be called: the database has been asked by then. When
// the test ends it gets SIGTERM, and has to end cleanly.
func serve(t *testing.T, env ...string) (addr, admin string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "production")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(append(os.Environ(), env...), "PORT=0", "ADMIN_LISTEN=localhost:0", "ORDERS_DB="+filepath.Join(t.TempDir(), "orders.db"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan string, 1), make(chan string, 1)
	var adminAddr string // settled when ready
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(log); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := adminLine.FindStringSubmatch(lines.Text()); m != nil {
				adminAddr = m[1]
			}
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				ready <- "localhost:" + m[1]
			}
		}
		ended <- all.String()
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		all := <-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
		// The hooks ran in their order.
		if cache, db, tel := strings.Index(all, "hook=cache"), strings.Index(all, "hook=database"), strings.Index(all, "hook=telemetry"); cache < 0 || db < cache || tel < db {
			t.Errorf("hooks are not in the log in their order:\n%s", all)
		}
	})
	select {
	case addr := <-ready:
		guide.UntilReady(t, adminAddr)
		return addr, adminAddr
	case all := <-ended:
		t.Fatalf("the program has ended:\n%s", all)
		return "", ""
	}
}

var (
	adminLine = regexp.MustCompile(` msg="server started" .* admin=(\S+)`)
	readyLine = regexp.MustCompile(` msg=ready addr=\S*:(\d+)`)
)
