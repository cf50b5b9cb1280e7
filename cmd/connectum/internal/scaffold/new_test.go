package scaffold_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
	"github.com/connectum-go/connectum/cmd/connectum/internal/scaffold"
	"github.com/connectum-go/connectum/env"
	"github.com/connectum-go/connectum/health"
)

func create(t *testing.T, n scaffold.New) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := n.Create(t.Context(), dir, func(string, ...any) func() { return func() {} }); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, n.Name)
}

// The script start.txtar does so for the service without flags. Those that are
// only vetted differ from ones that are run by what is left out.
func TestEveryTemplatePassesItsOwnTests(t *testing.T) {
	t.Parallel()
	// vet has looked already when test begins, and nobody debugs.
	vet, test := []string{"vet", "./..."}, []string{"test", "-vet=off", "-ldflags=-s", "./..."}
	for _, c := range []struct {
		scaffold.New
		run bool
	}{
		{scaffold.New{Name: "hi", Template: "hello", Docker: true}, true},
		{scaffold.New{Name: "user-service", Template: "service", TLS: true, Telemetry: true}, true},
		{scaffold.New{Name: "health", Template: "worker", TLS: true, Telemetry: true, Docker: true, K8s: true}, true}, // a name that main imports too
		{scaffold.New{Name: "secure", Template: "service", TLS: true}, false},
		{scaffold.New{Name: "telemetry", Template: "service", Telemetry: true, K8s: true}, false},
		{scaffold.New{Name: "d", Template: "worker"}, false}, // a name that a test declares
	} {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			dir := create(t, c.New)
			commands := [][]string{vet, {"mod", "tidy", "-diff"}}
			if c.run {
				commands = append(commands, test)
			}
			for _, args := range commands {
				cmd := exec.CommandContext(t.Context(), "go", args...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			out, err := exec.CommandContext(t.Context(), "gofmt", "-l", dir).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("gofmt: %v\n%s", err, out)
			}
		})
	}
}

type probe struct {
	HTTPGet struct{ Path, Port, Scheme string } `yaml:"httpGet"`
}

type manifest struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Env   []struct{ Name, Value string }
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
					Startup   probe `yaml:"startupProbe"`
					Liveness  probe `yaml:"livenessProbe"`
					Readiness probe `yaml:"readinessProbe"`
				}
			}
		}
		Ports []struct{ Port int }
	}
}

// The manifests against the code they run: its settings, its defaults, its
// paths.
func TestManifestsAgreeWithTheCode(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		t.Run("tls "+strconv.FormatBool(tls), func(t *testing.T) {
			t.Parallel()
			watched := tls // by telemetry: one of each is enough
			dir := create(t, scaffold.New{Name: "shop", Template: "service", K8s: true, Docker: true, TLS: tls, Telemetry: watched})
			manifests := readManifests(t, filepath.Join(dir, "deploy", "kubernetes.yaml"))
			pod := manifests["Deployment"].Spec.Template.Spec
			container := pod.Containers[0]

			variables := make(map[string]string)
			for _, v := range container.Env {
				if !strings.HasPrefix(v.Name, "TLS_") && v.Name != "GOMEMLIMIT" {
					variables[v.Name] = v.Value
				}
			}
			var cfg env.Config
			if err := env.ParseFrom(&cfg, variables); err != nil {
				t.Fatal(err)
			}
			server := cfg.Server()
			if server.Shutdown.DrainDelay != 5*time.Second {
				t.Errorf("DRAIN_DELAY is %s, want 5s", server.Shutdown.DrainDelay)
			}
			grace := time.Duration(pod.Grace) * time.Second
			if grace < server.Shutdown.Timeout+5*time.Second {
				t.Errorf("terminationGracePeriodSeconds is %s, SHUTDOWN_TIMEOUT %s: want 5s to spare", grace, server.Shutdown.Timeout)
			}
			if server.Shutdown.Timeout != defaultOf(t, "SHUTDOWN_TIMEOUT") {
				t.Errorf("SHUTDOWN_TIMEOUT is %s, the default %s", server.Shutdown.Timeout, defaultOf(t, "SHUTDOWN_TIMEOUT"))
			}
			_, port, err := net.SplitHostPort(server.Addr)
			if err != nil || port != strconv.Itoa(container.Ports[0].ContainerPort) || port != strconv.Itoa(manifests["Service"].Spec.Ports[0].Port) {
				t.Errorf("PORT is %s, containerPort %d, the service's %d", port, container.Ports[0].ContainerPort, manifests["Service"].Spec.Ports[0].Port)
			}
			if watched {
				metrics := container.Ports[1]
				if server.AdminAddr != ":"+strconv.Itoa(metrics.ContainerPort) || metrics.Name != "metrics" {
					t.Errorf("ADMIN_LISTEN is %s, the container's port %+v", server.AdminAddr, metrics)
				}
			}
			if _, limited := manifests["NetworkPolicy"]; limited != watched || (len(container.Ports) > 1) != watched {
				t.Errorf("the network is limited: %t", limited)
			}
			dockerfile, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
			if err != nil || !strings.Contains(string(dockerfile), "EXPOSE "+port+"\n") {
				t.Errorf("the Dockerfile does not expose %s: %v", port, err)
			}
			if lean := strings.Contains(string(dockerfile), "go build -trimpath -tags grpcnotrace -ldflags"); lean != watched {
				t.Errorf("grpc-go is linked without its pages: %t, with telemetry: %t", lean, watched)
			}
			// Images do not start in their root: certificates are named in full.
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if mounted := strings.Contains(string(readme), `-v "$PWD/certs:/certs:ro" -e TLS_CERT=/certs/localhost.pem -e TLS_KEY=/certs/localhost-key.pem`); err != nil || mounted != tls {
				t.Errorf("docker run is told where the certificate is: %t, with TLS: %t, %v", mounted, tls, err)
			}

			// A server has these paths, and a control that it has not.
			srv := connectum.New(connectum.Config{})
			health.Register(srv)
			for _, p := range []probe{container.Startup, container.Liveness, container.Readiness} {
				if ask := p.HTTPGet; !serves(t, srv, ask.Path) || ask.Port != container.Ports[0].Name || (ask.Scheme == "HTTPS") != tls {
					t.Errorf("probe %+v", p)
				}
			}
			if serves(t, srv, "/nowhere") {
				t.Error("the server has every path")
			}

			// The doctor finds what the flags leave open, and nothing else.
			patient, err := doctor.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, f := range doctor.Diagnose(patient, nil) {
				found = append(found, string(f.Severity)+" "+f.Check)
			}
			want := []string{"warning plaintext", "warning reflection-open"}
			if tls {
				want = want[1:]
			}
			if !slices.Equal(found, want) {
				t.Errorf("the doctor finds %q, want %q", found, want)
			}
		})
	}
}

func readManifests(t *testing.T, file string) map[string]manifest {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	byKind := make(map[string]manifest)
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return byKind
		}
		if err != nil {
			t.Fatal(err)
		}
		byKind[m.Kind] = m
	}
}

var defaultText = regexp.MustCompile(`The default is (\S+)\.$`)

func defaultOf(t *testing.T, name string) time.Duration {
	t.Helper()
	for _, v := range env.Variables() {
		if m := defaultText.FindStringSubmatch(v.Help); v.Name == name && m != nil {
			d, err := time.ParseDuration(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("%s has no default", name)
	return 0
}

// serves tells whether the server has something at a path.
func serves(t *testing.T, srv *connectum.Server, path string) bool {
	t.Helper()
	answer := httptest.NewRecorder()
	srv.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return answer.Code != http.StatusNotFound
}
