package doctor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/connectum-go/connectum/cmd/connectum/internal/doctor"
)

const (
	env        = "	\"github.com/connectum-go/connectum/env\"\n"
	reflect    = "	\"github.com/connectum-go/connectum/reflection\"\n"
	resilience = "	\"github.com/connectum-go/connectum/resilience\"\n"
	greeter    = "	\"example.com/app/gen/greeter/v1/greeterv1connect\"\n"
	livez      = "livenessProbe: {httpGet: {path: /livez, port: 5000}}"
)

// cases has for each check what it finds, and what it does not.
var cases = []struct {
	check string
	bad   string
	want  []string
	good  []string
}{
	{
		check: "drain-delay",
		bad:   deployment("", livez) + program(env, "	_ = connectum.Config{}\n	_ = env.Config{}"),
		want:  []string{"deploy/app.yaml:8: container app has no drain delay"},
		good: []string{
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]"),
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + program(env, "	_ = env.Config{}"),
			deployment("", livez) + program("", "	_ = connectum.Shutdown{DrainDelay: 5 * time.Second}"),
			deployment("", livez) + program("", "	var cfg connectum.Config\n	cfg.Shutdown.DrainDelay = delay()"),
			deployment("", "env: [{name: DRAIN_DELAY, valueFrom: {configMapKeyRef: {name: elsewhere, key: delay}}}]"),
			deployment("", "envFrom: [{configMapRef: {name: settings}}]", "ports: [{containerPort: 5000}]") + program(env, "	_ = env.Config{}") +
				"-- deploy/settings.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {DRAIN_DELAY: 5s}\n",
			deployment("", "lifecycle: {preStop: {sleep: {seconds: 5}}}", "ports: [{containerPort: 5000}]") + program("", ""),
			deployment("", "ports: [{containerPort: 6379}]"), // somebody else's
			deployment("", "ports: [{containerPort: 5000}]"), // of a project that is none of ours
		},
	},
	{
		check: "grace-period",
		bad:   deployment("terminationGracePeriodSeconds: 20", "env: [{name: DRAIN_DELAY, value: 5s}]"),
		want:  []string{"deploy/app.yaml:11: the pod of container app has 20s to stop, and its stop may take 25s and needs 5s to spare"},
		good: []string{
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]"), // 30 s
			deployment("terminationGracePeriodSeconds: 20", "env: [{name: DRAIN_DELAY, value: 5s}, {name: SHUTDOWN_TIMEOUT, value: 15s}]"),
			deployment("terminationGracePeriodSeconds: 20", "env: [{name: DRAIN_DELAY, value: 5s}]") + program("", "	_ = connectum.Shutdown{Timeout: 15 * time.Second}"),
			deployment("terminationGracePeriodSeconds: 20", "env: [{name: DRAIN_DELAY, value: 5s}]", "envFrom: [{configMapRef: {name: elsewhere}}]"),
		},
	},
	{
		check: "grace-period",
		bad:   deployment("", "env: [{name: SHUTDOWN_TIMEOUT, value: 1m}]"),
		want:  []string{"deploy/app.yaml:8: the pod of container app has 30s to stop, and its stop may take 1m0s and needs 5s to spare"},
		good:  []string{deployment("terminationGracePeriodSeconds: 65", "env: [{name: SHUTDOWN_TIMEOUT, value: 1m}]")},
	},
	{
		check: "grace-period",
		bad:   deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]", `lifecycle: {preStop: {exec: {command: [sh, -c, "sleep 10"]}}}`),
		want:  []string{"deploy/app.yaml:8: the pod of container app has 30s to stop, and its stop may take 35s and needs 5s to spare"},
		good:  []string{deployment("terminationGracePeriodSeconds: 40", "env: [{name: DRAIN_DELAY, value: 5s}]", `lifecycle: {preStop: {exec: {command: [sleep, "10"]}}}`)},
	},
	{
		check: "unread-variables",
		bad:   deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + program("", "	_ = connectum.Config{}"),
		want:  []string{"deploy/app.yaml:10: DRAIN_DELAY is set, and the program does not read it"},
		good: []string{
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + program(env, "	_ = env.Config{}"),
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + program("	\"os\"\n", `	_ = os.Getenv("DRAIN_DELAY")`),
			deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]"),
		},
	},
	{
		check: "liveness",
		bad:   deployment("", "livenessProbe: {httpGet: {path: /readyz, port: 5000}}"),
		want:  []string{"deploy/app.yaml:10: the liveness probe of container app asks /readyz"},
		good:  []string{deployment("", "livenessProbe: {httpGet: {path: /livez, port: 5000}}", "readinessProbe: {grpc: {port: 5000}}")},
	},
	{
		check: "liveness",
		bad:   deployment("", "livenessProbe: {grpc: {port: 5000}}"),
		want:  []string{"deploy/app.yaml:10: the liveness probe of container app asks grpc.health.v1, which is readiness"},
		good:  []string{deployment("", "livenessProbe: {tcpSocket: {port: 5000}}", "env: [{name: DRAIN_DELAY, value: 5s}]")},
	},
	{
		check: "liveness",
		bad:   deployment("", "livenessProbe: {httpGet: {path: /ok, port: 5000}}", "readinessProbe: {httpGet: {path: /ok, port: 5000}}", "env: [{name: DRAIN_DELAY, value: 5s}]"),
		want:  []string{"deploy/app.yaml:10: the liveness probe of container app asks the path of the readiness probe"},
		good:  []string{deployment("", "livenessProbe: {httpGet: {path: /a, port: 5000}}", "readinessProbe: {httpGet: {path: /b, port: 5000}}", "env: [{name: DRAIN_DELAY, value: 5s}]")},
	},
	{
		check: "readiness",
		bad:   deployment("", "livenessProbe: {httpGet: {path: /livez, port: 5000}}"),
		want:  []string{"deploy/app.yaml:8: container app has no readinessProbe"},
		good:  []string{deployment("", "readinessProbe: {grpc: {port: 5000}}")},
	},
	{
		check: "liveness-missing",
		bad:   deployment("", "readinessProbe: {grpc: {port: 5000}}"),
		want:  []string{"deploy/app.yaml:8: container app has no livenessProbe"},
		good:  []string{deployment("", "livenessProbe: {httpGet: {path: /livez, port: 5000}}")},
	},
	{
		check: "probe-port",
		bad:   deployment("", "ports: [{name: rpc, containerPort: 5000}]", "readinessProbe: {httpGet: {path: /readyz, port: http}}"),
		want:  []string{`deploy/app.yaml:11: the readinessProbe of container app asks port "http", which it does not have`},
		good: []string{
			deployment("", "ports: [{name: rpc, containerPort: 5000}]", "readinessProbe: {httpGet: {path: /readyz, port: rpc}}"),
			deployment("", "readinessProbe: {httpGet: {path: /readyz, port: 5000}}"),
		},
	},
	{
		check: "ingress-plaintext",
		bad:   "-- a.yml --\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\nspec: {rules: []}\n",
		want:  []string{"a.yml:1: ingress front has no TLS"},
		good:  []string{"-- a.yml --\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\nspec: {tls: [{hosts: [a.example.com]}]}\n"},
	},
	{
		check: "memory-limit",
		bad:   deployment("", "readinessProbe: {grpc: {port: 5000}}"),
		want:  []string{"deploy/app.yaml:8: container app has no memory limit"},
		good:  []string{deployment("", "readinessProbe: {grpc: {port: 5000}}", "resources: {limits: {memory: 256Mi}}")},
	},
	{
		check: "latest-tag",
		bad:   "-- Dockerfile --\nFROM golang AS build\nFROM --platform=linux/amd64 example.com:5000/base:latest\nCOPY --from=build /a /a\n",
		want:  []string{"Dockerfile:1: image golang has no fixed tag", "Dockerfile:2: image example.com:5000/base:latest has no fixed tag"},
		good: []string{
			"-- Dockerfile --\nFROM golang:1.26 AS build\nFROM build AS test\nFROM scratch\n",
			"-- build/a.Dockerfile --\nARG BASE\nFROM $BASE\nFROM example.com/base@sha256:0123\n",
		},
	},
	{
		check: "latest-tag",
		bad:   strings.Replace(deployment("", "readinessProbe: {grpc: {port: 5000}}"), "app:1.2.3", "app", 1),
		want:  []string{"deploy/app.yaml:9: image example.com/app has no fixed tag"},
		good:  []string{deployment("", "readinessProbe: {grpc: {port: 5000}}")},
	},
	{
		check: "root-user",
		bad:   "-- Dockerfile --\nFROM golang:1.26\nUSER 1\nFROM debian:13\n",
		want:  []string{"Dockerfile:3: no USER: the process is root"},
		good:  []string{"-- Dockerfile --\nFROM debian:13\nUSER 65532:65532\n", "-- Dockerfile --\nFROM gcr.io/distroless/static:nonroot\n"},
	},
	{
		check: "root-user",
		bad:   "-- Dockerfile --\nFROM debian:13\nUSER root\n",
		want:  []string{"Dockerfile:2: USER root: the process is root"},
		good:  []string{"-- Containerfile --\nFROM debian:13\nUSER app\n"},
	},
	{
		check: "plaintext",
		bad:   program("", `	_ = connectum.New(connectum.Config{Addr: ":5000"})`),
		want:  []string{"main.go:16: the server has no TLS"},
		good: []string{
			program("", `	_ = connectum.New(connectum.Config{TLS: connectum.TLS{CertFile: "a", KeyFile: "b"}})`),
			program("", "	cfg := connectum.Config{}\n	cfg.TLS.CertFile = \"a\""),
			program("", `	_ = connectum.New(connectum.Config{Addr: "localhost:5000"})`),
			program("", `	_ = connectum.New(connectum.Config{Addr: "unix:///run/app"})`),
			program(env, "	_ = connectum.Config{}\n	_ = env.Config{}") + deployment("", "env: [{name: TLS_CERT, value: /tls/tls.crt}, {name: DRAIN_DELAY, value: 5s}]"),
			"-- other.go --\npackage other\n\ntype Config struct{}\n\nvar _ = Config{}\n",
			strings.Replace(program("", `	_ = connectum.New(connectum.Config{Addr: ":5000"})`), "main.go", "main_test.go", 1),
		},
	},
	{
		check: "plaintext",
		bad:   deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + "-- deploy/service.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {type: LoadBalancer}\n",
		want:  []string{"deploy/service.yaml:1: service app has a public address, and the server no TLS"},
		good:  []string{deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + "-- deploy/service.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {}\n"},
	},
	{
		check: "plaintext",
		bad:   deployment("", "env: [{name: DRAIN_DELAY, value: 5s}]") + program(env, "	cfg := env.Config{}\n	_ = connectum.New(cfg.Server())"),
		want:  []string{"deploy/app.yaml:8: container app has no TLS_CERT"},
		good:  []string{deployment("", "env: [{name: DRAIN_DELAY, value: 5s}, {name: TLS_CERT, value: a}]") + program(env, "	cfg := env.Config{}\n	_ = connectum.New(cfg.Server())")},
	},
	{
		check: "admin-public",
		bad:   program("", `	_ = connectum.Config{AdminAddr: ":9090"}`) + deployment("", "env: [{name: ADMIN_LISTEN, value: '0.0.0.0:9090'}]"),
		want: []string{
			`main.go:16: the admin listener is on ":9090"`,
			`deploy/app.yaml:10: the admin listener is on "0.0.0.0:9090", and no NetworkPolicy keeps the rest of the cluster away`,
		},
		good: []string{
			program("", `	_ = connectum.Config{AdminAddr: "localhost:9090"}`) + deployment("", "env: [{name: ADMIN_LISTEN, value: '127.0.0.1:9090'}]"),
			program("", `	_ = connectum.Config{AdminAddr: ":9090"}`) + pod("web", "9090") + policy("{app: web}", "[{ports: [{port: 5000}]}]"),
		},
	},
	{
		check: "admin-public",
		bad:   pod("web", "9090") + policy("{app: other}", "[]"), // which is about another pod
		want:  []string{`deploy/app.yaml:12: the admin listener is on ":9090", and no NetworkPolicy keeps the rest of the cluster away`},
		good: []string{
			pod("web", "9090") + policy("{app: web}", "[]"),
			pod("web", "9090") + policy("{}", "[]"), // every pod
			pod("web", "9090") + policy("{app: web}", "[{ports: [{port: rpc}]}, {ports: [{port: metrics}], from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}]"),
			pod("web", "9090") + policy("{app: web}", "[{ports: [{port: 9090}], from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: prometheus}}}]}]"),
			pod("web", "9090") + policy("{app: web}", "[{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]"),
			pod("web", "9090") + policy("{app: web}", "[{ports: [{port: 9090, protocol: UDP}, {port: 1, endPort: 9089}]}]"),
			// In the cluster the policy decides, whatever leads there.
			pod("web", "9090") + policy("{app: web}", "[]") + service("ClusterIP", "{port: 9090}"),
			pod("web", "9090") + policy("{app: web}", "[]") + service("LoadBalancer", "{port: 443, targetPort: rpc}"),
		},
	},
	{
		check: "admin-public",
		bad:   pod("web", "9090") + policy("{app: web}", "[]") + service("LoadBalancer", "{port: 80, targetPort: metrics}"),
		want:  []string{`deploy/service.yaml:1: service app leads from outside the cluster to the admin listener`},
		good:  []string{pod("web", "9090") + policy("{app: web}", "[]") + strings.Replace(service("NodePort", "{port: 9090}"), "app: web", "app: other", 1)},
	},
	{
		check: "reflection-open",
		bad:   program(reflect, "	srv := connectum.New(connectum.Config{})\n	reflection.Register(srv)"),
		want:  []string{"main.go:18: reflection tells of every service"},
		good: []string{
			program(reflect, "	srv := connectum.New(connectum.Config{})\n	reflection.Register(srv, reflection.WithServices(\"a.v1.A\"))"),
			program("	\"example.com/other/reflection\"\n", "	reflection.Register(1)"),
		},
	},
	{
		check: "limit-off",
		bad:   program("", "	cfg := connectum.Config{Limits: connectum.Limits{MaxConns: -1, MaxInFlight: 5}}\n	cfg.Limits.Timeout = -1 * time.Second\n	_ = connectum.ProcedureLimits{MaxSendBytes: -(1)}"),
		want:  []string{"main.go:16: MaxConns is negative: there is no limit", "main.go:17: Timeout is negative: there is no limit", "main.go:18: MaxSendBytes is negative: there is no limit"},
		good:  []string{program("", "	cfg := connectum.Config{Limits: connectum.Limits{MaxConns: 1 << 20, CompressMinBytes: -1, MaxInFlight: n()}}\n	cfg.Limits.Timeout = time.Second")},
	},
	{
		check: "limit-off",
		bad:   deployment("", "env: [{name: MAX_CONNS, value: none}]"),
		want:  []string{"deploy/app.yaml:10: MAX_CONNS is none: there is no limit"},
		good:  []string{deployment("", "env: [{name: MAX_CONNS, value: '100'}, {name: STREAM_GRACE, value: none}]")},
	},
	{
		check: "get-open",
		bad:   program("", "	_ = connectum.Config{AllowGET: true}") + deployment("", `env: [{name: ALLOW_GET, value: "true"}]`),
		want:  []string{"main.go:16: GET is answered", "deploy/app.yaml:10: GET is answered"},
		good:  []string{program("", "	_ = connectum.Config{AllowGET: false}") + deployment("", `env: [{name: ALLOW_GET, value: "false"}]`)},
	},
	{
		check: "stop-unbounded",
		bad:   program("", "	var cfg connectum.Config\n	cfg.Shutdown.NoForce = true") + deployment("", `env: [{name: SHUTDOWN_NO_FORCE, value: "true"}]`),
		want:  []string{"main.go:17: NoForce waits for calls as long as they take", "deploy/app.yaml:10: SHUTDOWN_NO_FORCE waits for calls as long as they take"},
		good:  []string{program("", "	_ = connectum.Shutdown{Timeout: time.Second}")},
	},
	{
		check: "client-deadline",
		bad: program(greeter, `	client := greeterv1connect.NewGreeterServiceClient(nil)
	client.SayHello(context.Background(), nil)
	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel()
	s := struct{ greeter any }{greeter: greeterv1connect.NewGreeterServiceClient(nil)}
	s.greeter.SayHello(ctx, nil)`),
		want: []string{"main.go:18: SayHello is called without a deadline", "main.go:22: SayHello is called without a deadline"},
		good: []string{
			program(greeter, `	client := greeterv1connect.NewGreeterServiceClient(nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client.SayHello(ctx, nil)
	other.Call(context.Background())`),
			program(greeter+resilience, `	client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(nil, resilience.AttemptTimeout(time.Second)))
	client.SayHello(context.Background(), nil)`),
			program(greeter, "}\n\nfunc handle(ctx context.Context) {\n	client := greeterv1connect.NewGreeterServiceClient(nil)\n	client.SayHello(ctx, nil)"),
		},
	},
	{
		check: "retry-unsafe",
		bad:   program(resilience, "	_ = resilience.NewRetry(resilience.RetryConfig{Unsafe: func(connect.Spec) bool { return true }})"),
		want:  []string{"main.go:17: Unsafe repeats methods that the schema does not call safe"},
		good:  []string{program(resilience, "	_ = resilience.NewRetry(resilience.RetryConfig{Unsafe: nil, MaxAttempts: 2})")},
	},
}

func TestChecksFindWhatTheyShouldAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.check, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, found(t, c.check, c.bad)); diff != "" {
				t.Errorf("%s\n%s", c.bad, diff)
			}
			for _, good := range c.good {
				if got := found(t, c.check, good); got != nil {
					t.Errorf("%s\nfound %q", good, got)
				}
			}
		})
	}
}

// Each check of projects stands in the table above, but for that of
// certificates, which has a test of its own.
func TestEveryCheckIsTested(t *testing.T) {
	t.Parallel()
	names := map[string]bool{"certificate-expiry": true}
	for _, c := range cases {
		names[c.check] = true
		if len(c.want) == 0 || len(c.good) == 0 {
			t.Errorf("%s is tested on one side alone", c.check)
		}
	}
	for _, c := range doctor.Checks() {
		if !names[c.Name] && !strings.HasPrefix(c.Name, "live-") {
			t.Errorf("%s has no case", c.Name)
		}
		if c.Finds == "" || c.Reason == "" || c.Cure == "" || c.Severity == "" {
			t.Errorf("%s is incomplete", c.Name)
		}
	}
}

func TestWhatIsIgnoredIsNotFound(t *testing.T) {
	t.Parallel()
	p, err := doctor.Load(lay(t, program(reflect, "	srv := connectum.New(connectum.Config{})\n	reflection.Register(srv)")))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(doctor.Diagnose(p, nil)); n != 2 {
		t.Errorf("%d findings, want 2", n)
	}
	if n := len(doctor.Diagnose(p, []string{"reflection-open", "plaintext"})); n != 0 {
		t.Errorf("%d findings in spite of it", n)
	}
}

func TestFilesThatCannotBeJudgedAreTold(t *testing.T) {
	t.Parallel()
	p, err := doctor.Load(lay(t, "-- chart/app.yaml --\nkind: {{ .Kind }}: a\n-- a.go --\npackage\n-- b.go --\npackage b\n-- .git/c.go --\npackage\n-- vendor/d.go --\npackage\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Read != 1 || len(p.Unread) != 2 || !strings.HasPrefix(p.Unread[0], "a.go: ") || !strings.HasPrefix(p.Unread[1], "chart/app.yaml: ") {
		t.Errorf("read %d, not read %q", p.Read, p.Unread)
	}
}

// Whatever is in the files, they are read or told of.
func FuzzProjects(f *testing.F) {
	for _, c := range cases {
		for _, file := range txtar.Parse([]byte(c.bad)).Files {
			f.Add(string(file.Data))
		}
	}
	f.Add("a: &a\n  - *a\nkind: Pod\napiVersion: v1\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		for _, name := range []string{"a.go", "a.yaml", "Dockerfile", "a.pem"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		p, err := doctor.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if p.Read+len(p.Unread) != 4 && !strings.Contains(text, "Code generated") {
			t.Errorf("read %d, not read %q", p.Read, p.Unread)
		}
		doctor.Diagnose(p, nil)
	})
}

// Policies that let everybody in are as good as none.
func TestAPolicyThatOpensTheAdminPortIsNoGuard(t *testing.T) {
	t.Parallel()
	for _, ingress := range []string{
		"[{}]",
		"[{ports: [{port: 9090}]}]",
		"[{ports: [{port: metrics}]}]",
		"[{ports: [{port: 9000, endPort: 9100}]}]",
		"[{ports: [{protocol: TCP}]}]",
		"[{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]",
		"[{from: [{namespaceSelector: {}}]}]",
		"[{ports: [{port: 5000}]}, {from: [{podSelector: {}}, {ipBlock: {cidr: '::/0'}}]}]",
	} {
		if got := found(t, "admin-public", pod("web", "9090")+policy("{app: web}", ingress)); len(got) != 1 {
			t.Errorf("%s: %q", ingress, got)
		}
	}
	for name, archive := range map[string]string{
		"an expression":     strings.Replace(pod("web", "9090")+policy("{app: web}", "[]"), "podSelector: {", "podSelector: {matchExpressions: [{key: a, operator: Exists}], ", 1),
		"egress alone":      strings.Replace(pod("web", "9090")+policy("{app: web}", "[]"), "spec: {podSelector", "spec: {policyTypes: [Egress], podSelector", 1),
		"another namespace": strings.Replace(pod("web", "9090")+policy("{app: web}", "[]"), "kind: NetworkPolicy\nmetadata: {", "kind: NetworkPolicy\nmetadata: {namespace: other, ", 1),
	} {
		if got := found(t, "admin-public", archive); len(got) != 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
}
