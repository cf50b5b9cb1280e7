package doctor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
)

// lay writes the files of an archive into a new folder.
func lay(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// found returns what a check finds in an archive: "where: problem".
func found(t *testing.T, check, archive string) []string {
	t.Helper()
	p, err := doctor.Load(lay(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Unread) > 0 {
		t.Errorf("not read: %q", p.Unread)
	}
	var out []string
	for _, f := range doctor.Diagnose(p, nil) {
		if f.Check == check {
			out = append(out, f.Where+": "+f.Problem)
		}
		if f.Reason == "" || f.Cure == "" || f.Problem == "" || f.Where == "" {
			t.Errorf("incomplete: %+v", f)
		}
	}
	return out
}

// deployment is a manifest with a container that has these lines.
func deployment(pod string, container ...string) string {
	return `-- deploy/app.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
` + indent(8, "containers:", "- name: app", "  image: example.com/app:1.2.3") + indent(10, container...) + indent(8, strings.Split(pod, "\n")...)
}

// pod is one with an admin listener on a port named metrics.
func pod(app, port string) string {
	return `-- deploy/app.yaml --
apiVersion: v1
kind: Pod
metadata: {name: app, labels: {app: ` + app + `}}
spec:
  containers:
  - name: app
    image: example.com/app:1.2.3
    ports:
    - {name: rpc, containerPort: 5000}
    - {name: metrics, containerPort: ` + port + `}
    env:
    - {name: ADMIN_LISTEN, value: ":` + port + `"}
`
}

// policy is one about the pods with these labels.
func policy(labels, ingress string) string {
	return `-- deploy/policy.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: app}
spec: {podSelector: {matchLabels: ` + labels + `}, ingress: ` + ingress + `}
`
}

// service leads to the pods of web.
func service(kind, port string) string {
	return `-- deploy/service.yaml --
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {type: ` + kind + `, selector: {app: web}, ports: [` + port + `]}
`
}

func indent(n int, lines ...string) string {
	out := ""
	for _, l := range lines {
		if l != "" {
			out += strings.Repeat(" ", n-2) + l + "\n"
		}
	}
	return out
}

// program is a main with these statements after a server's configuration.
func program(imports, statements string) string {
	return `-- main.go --
package main

import (
	"context"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/connectum-go/connectum"
` + imports + `)

var _ = context.Background
var _ time.Duration
var _ connect.Code

func main() {
` + statements + `
}
`
}
