package frames_test

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/clients"
	"github.com/connectum-go/connectum/conformance/internal/tool"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
)

// known are the cases of h2spec that a server of connectum may fail, and why.
// Plain net/http fails them too. docs/conformance.md says the same.
var known = map[string]string{
	"http2/3.5/2":   "bytes that are no preface of HTTP/2 are answered as HTTP/1.1, which shares the plaintext port",
	"http2/6.5.3/1": "net/http closes a connection whose SETTINGS name one setting twice",
	// net/http answers 400 and resets the stream after it; h2spec takes
	// whichever it sees first, so these pass and fail by the run.
	"http2/8.1.2.2/1": "answered 400 before the reset",
	"http2/8.1.2.2/2": "answered 400 before the reset",
	"http2/8.1.2.6/1": "answered 400 before the reset",
	"http2/8.1.2.6/2": "answered 400 before the reset",
}

// cases is how many h2spec 2.2.1 has.
const cases = 145

// No case that plain net/http passes is failed, on either port, and no case at
// all that is not known.
func TestH2specFindsNothingNew(t *testing.T) {
	t.Parallel()
	for _, transport := range []struct {
		name   string
		secure bool
	}{{"plaintext", false}, {"TLS", true}} {
		t.Run(transport.name, func(t *testing.T) {
			t.Parallel()
			var cert connectumtest.Certificate
			if transport.secure {
				cert = connectumtest.Certs(t).Server
			}
			_, ours := start(t, cert)
			plain := servePlain(t, cert)
			of := h2spec(t, ours, transport.secure)
			control := h2spec(t, plain, transport.secure)
			t.Logf("connectum passes %d of %d, fails %v; plain net/http passes %d, fails %v",
				of.passed(), len(of), of.failed(), control.passed(), control.failed())
			if len(of) != cases || len(control) != cases {
				t.Fatalf("%d and %d cases, want %d", len(of), len(control), cases)
			}
			for _, name := range of.failed() {
				t.Logf("%s: %s (%s)", name, of[name], known[name])
				again := func() bool { // some cases race with the answer: a failure must be one twice more
					for range 2 {
						if h2spec(t, ours, transport.secure, name)[name] == "" {
							return false
						}
					}
					return true
				}
				switch {
				case control[name] == "" && again():
					t.Errorf("%s: connectum fails what plain net/http passes: %s", name, of[name])
				case known[name] == "" && again():
					t.Errorf("%s fails and is not known: %s", name, of[name])
				}
			}
		})
	}
}

// report maps the cases of h2spec to what is wrong, "" for nothing.
type report map[string]string

func (r report) failed() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if r[name] != "" {
			names = append(names, name)
		}
	}
	return names
}

func (r report) passed() int { return len(r) - len(r.failed()) }

// h2spec runs all cases, or those of that name, against the server at addr.
func h2spec(t *testing.T, addr net.Addr, secure bool, names ...string) report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"--host", "127.0.0.1", "--port", fmt.Sprint(addr.(*net.TCPAddr).Port), "--junit-report", file, "--path", "/"}
	if secure {
		args = append(args, "--tls", "--insecure")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// It exits with 1 when cases fail: the report tells all.
	said, err := exec.CommandContext(ctx, tool.Path(t, "h2spec", "h2spec"), append(args, names...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var read struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Class   string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &read); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	r := report{}
	for _, suite := range read.Suites {
		for n, c := range suite.Cases {
			name, why := fmt.Sprintf("%s/%d", suite.Package, n+1), ""
			for _, wrong := range []*string{c.Failure, c.Error} {
				if wrong != nil {
					why = c.Class + ": " + strings.Join(strings.Fields(*wrong), " ")
				}
			}
			r[name] = why
		}
	}
	return r
}

// page is what h2spec asks for: HTTP/2 needs a response with some bytes.
var page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello, HTTP/2") })

// start serves page and the usual service on connectum until the test ends.
func start(t *testing.T, cert connectumtest.Certificate) (*connectum.Server, net.Addr) {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	srv := connectum.New(connectum.Config{
		TLS:          connectum.TLS{CertPEM: cert.CertPEM, KeyPEM: cert.KeyPEM},
		Interceptors: interceptor.Defaults(interceptor.Config{Logger: discard}),
		Shutdown:     connectum.Shutdown{Timeout: 5 * time.Second},
		Logger:       discard,
	})
	clients.Service().Register(srv.RPC())
	srv.Handle("/", page)
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("the stop: %v", err)
		}
		<-ended
	})
	return srv, l.Addr()
}

// servePlain is the same on net/http alone.
func servePlain(t *testing.T, cert connectumtest.Certificate) net.Addr {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: page, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	l := listen(t)
	ended := make(chan error, 1)
	go func() {
		if cert.CertFile == "" {
			ended <- srv.Serve(l)
			return
		}
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		ended <- srv.ServeTLS(l, cert.CertFile, cert.KeyFile)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return l.Addr()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
