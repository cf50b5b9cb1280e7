// Package scaffold writes projects and what is added to them.
package scaffold

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
)

//go:embed templates
var templates embed.FS

// What code, manifests, image and README agree on. The first and the
// third are the server's defaults, which a test holds them to.
const (
	port            = 5000
	adminPort       = 9090 // of metrics
	shutdownTimeout = 25 * time.Second
	drainDelay      = 5 * time.Second
	spare           = 5 * time.Second
)

// Templates are the kinds of projects.
var Templates = []string{"hello", "service", "worker"}

// New is a project to make.
type New struct {
	Name      string
	Module    string // the default is example.com/NAME
	Template  string // one of Templates
	TLS       bool
	Telemetry bool // traces, metrics and logs by OpenTelemetry
	Docker    bool
	K8s       bool
	Framework string // the default is the source this program was built from
}

// Made is what was made.
type Made struct {
	Dir    string   `json:"dir"` // relative to the working directory
	Module string   `json:"module"`
	Files  []string `json:"files"` // relative to Dir, slash-separated, sorted
}

// Create makes the project in a folder of its name below dir: all of it or
// nothing. It refuses to write where something is.
func (n New) Create(ctx context.Context, dir string, progress func(string, ...any) func()) (*Made, error) {
	if n.Module == "" {
		n.Module = "example.com/" + n.Name
	}
	if err := n.check(dir); err != nil {
		return nil, err
	}
	source, err := findFramework(n.Framework, builtFrom())
	if err != nil {
		return nil, err
	}
	if n.Telemetry {
		if err := source.withTelemetry(); err != nil {
			return nil, err
		}
	}
	files, err := n.files(source)
	if err != nil {
		return nil, err
	}
	// In a folder beside it, which becomes the project when all has succeeded.
	temp, err := os.MkdirTemp(dir, "."+n.Name+"-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone already when it was renamed
	if err := fill(temp, files); err != nil {
		return nil, err
	}
	if err := finish(ctx, temp, progress); err != nil {
		return nil, err
	}
	made := &Made{Dir: n.Name, Module: n.Module}
	if made.Files, err = list(temp); err != nil {
		return nil, err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, err
	}
	target := filepath.Join(dir, n.Name)
	// An empty folder was there, or nothing: Remove takes away nothing else.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, exit.With(exit.Refused, err)
	}
	return made, os.Rename(temp, target)
}

func (n New) check(dir string) error {
	if err := checkName(n.Name); err != nil {
		return err
	}
	if err := checkModule(n.Module); err != nil {
		return err
	}
	if !slices.Contains(Templates, n.Template) {
		return exit.With(exit.Usage, fmt.Errorf("template %q: want %s", n.Template, strings.Join(Templates, ", ")))
	}
	if n.Template == "hello" && (n.TLS || n.K8s || n.Telemetry) {
		return exit.With(exit.Usage, errors.New("the template hello has neither probes nor settings for --tls, --k8s and --telemetry: take --template service"))
	}
	target := filepath.Join(dir, n.Name)
	entries, err := os.ReadDir(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return exit.With(exit.Refused, fmt.Errorf("%s is there already and is not a folder that can be used: %w", n.Name, err))
	case len(entries) > 0:
		what := "is not empty"
		if _, err := os.Stat(filepath.Join(target, "go.mod")); err == nil {
			what = "is a Go module already"
		}
		return exit.With(exit.Refused, fmt.Errorf("%s %s: nothing was written", n.Name, what))
	}
	if p, err := project.Open(dir); err == nil {
		return exit.With(exit.Refused, fmt.Errorf("%s is in the module %s, and a project is a module of its own; 'connectum add service' adds to one", dir, p.Module))
	} else if !errors.Is(err, project.ErrNone) {
		return exit.With(exit.Refused, err)
	}
	return nil
}

// data is what templates see.
type data struct {
	New
	Proto, ProtoDir, Alias   string // shop.v1, shop/v1, shopv1
	Service, Package         string // ShopService, shop
	Port, AdminPort          int
	ShutdownTimeout          time.Duration
	DrainDelay, Spare        time.Duration
	GraceSeconds             int
	GoRelease                string // 1.26
	Scheme, ProbeScheme      string
	SampleMethod, SampleJSON string
	Replaced                 bool
}

// word is what a service is called in a project of that name: user-service is
// about users.
func word(name string) string { return strings.TrimSuffix(strings.TrimSuffix(name, "service"), "-") }

func (n New) data(source *framework) data {
	base := word(n.Name)
	if base == "" || n.Template == "hello" {
		base = "greeter"
	}
	d := data{
		New: n, Service: typeName(base) + "Service", Package: packageName(base),
		Port: port, AdminPort: adminPort, ShutdownTimeout: shutdownTimeout, DrainDelay: drainDelay, Spare: spare,
		GraceSeconds: int((shutdownTimeout + spare).Seconds()),
		Scheme:       "http",
		Replaced:     true,
	}
	pkg := strings.ReplaceAll(base, "-", "_")
	d.Proto, d.ProtoDir = pkg+".v1", pkg+"/v1"
	d.Alias = pkg + "v1"
	parts := strings.Split(source.mod.Go.Version, ".")
	d.GoRelease = strings.Join(parts[:min(2, len(parts))], ".")
	if n.TLS {
		d.Scheme, d.ProbeScheme = "https", ", scheme: HTTPS"
	}
	switch n.Template {
	case "hello":
		d.SampleMethod, d.SampleJSON = "SayHello", `{"name":"Ada"}`
	case "service":
		d.SampleMethod, d.SampleJSON = "CreateItem", `{"itemId":"tea-1","name":"Tea"}`
	case "worker":
		d.SampleMethod, d.SampleJSON = "Submit", `{"jobId":"job-1","payload":"aGVsbG8="}`
	}
	return d
}

// files returns the text of what is written, by path.
func (n New) files(source *framework) (map[string][]byte, error) {
	d := n.data(source)
	from := map[string]string{
		".gitignore":   "all/gitignore",
		"README.md":    "all/README.md",
		"buf.yaml":     "all/buf.yaml",
		"buf.gen.yaml": "all/buf.gen.yaml",
		"main.go":      n.Template + "/main.go",
	}
	inside, proto := "internal/"+d.Package+"/", "proto/"+d.ProtoDir+"/"
	switch n.Template {
	case "hello":
		from[proto+"greeter.proto"] = "hello/greeter.proto"
	case "service":
		from[proto+protoName(strings.TrimSuffix(d.Proto, ".v1"))] = "service/service.proto"
		from["main_test.go"] = "service/main_test.go"
	case "worker":
		from[proto+protoName(strings.TrimSuffix(d.Proto, ".v1"))] = "worker/worker.proto"
		from["main_test.go"] = "worker/main_test.go"
		from[inside+"queue.go"] = "worker/queue.go"
		from[inside+"queue_test.go"] = "worker/queue_test.go"
	}
	from[inside+"service.go"] = n.Template + "/service.go"
	if n.Template != "worker" {
		from[inside+"service_test.go"] = n.Template + "/service_test.go"
	}
	if n.Docker {
		from["Dockerfile"] = "docker/Dockerfile"
		from[".dockerignore"] = "docker/dockerignore"
	}
	if n.K8s {
		from["deploy/kubernetes.yaml"] = "k8s/kubernetes.yaml"
	}
	files := make(map[string][]byte)
	for name, template := range from {
		text, err := execute(template, d)
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	if n.TLS {
		cert, key, err := certificate(n.Name, time.Now())
		if err != nil {
			return nil, err
		}
		files["certs/localhost.pem"], files["certs/localhost-key.pem"] = cert, key
	}
	var err error
	files["go.sum"] = source.goSum()
	files["go.mod"], err = source.goMod(n.Module)
	return files, err
}

// execute fills a template, and formats it when it is Go.
func execute(name string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name+".tmpl")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, filepath.Base(name)+".tmpl", data); err != nil {
		return nil, err
	}
	if filepath.Ext(name) != ".go" {
		return out.Bytes(), nil
	}
	text, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return text, nil
}

func fill(dir string, files map[string][]byte) error {
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, "-key.pem") {
			mode = 0o600
		}
		if err := os.WriteFile(file, text, mode); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the generated code and settles the dependencies.
func finish(ctx context.Context, dir string, progress func(string, ...any) func()) error {
	p, err := project.Open(dir)
	if err != nil {
		return err
	}
	if _, err := generate.Run(ctx, p, generate.Options{Progress: progress}); err != nil {
		return err
	}
	return tidy(ctx, dir, progress)
}

// tidy settles go.mod and go.sum.
func tidy(ctx context.Context, dir string, progress func(string, ...any) func()) error {
	defer progress("settling dependencies (go mod tidy)")()
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("go mod tidy: %w\n%s", err, bytes.TrimSpace(out))
	}
	return errors.Join(err, ctx.Err())
}

// list returns the files below dir.
func list(dir string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, name)
		}
		return err
	})
	return files, err
}
