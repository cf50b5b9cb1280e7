package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// spare is what a pod needs beyond the budget of the stop, to be seen ending.
const spare = 5 * time.Second

// clusterChecks are those of Kubernetes manifests.
var clusterChecks = []Check{
	{
		Name: "drain-delay", Severity: Error, Finds: "a pod that stops listening while it is still in the endpoints",
		Reason:  "Kubernetes removes the pod from the endpoints while it sends SIGTERM: calls that are routed in between meet a server that leaves.",
		Cure:    "Set DRAIN_DELAY to 5s (package env), or Shutdown.DrainDelay in code.",
		project: drainDelay,
	},
	{
		Name: "grace-period", Severity: Error, Finds: "a pod that is killed before its stop can end",
		Reason:  "When terminationGracePeriodSeconds is over the kernel ends the process: calls in flight are cut, and shutdown hooks do not run.",
		Cure:    "Give SHUTDOWN_TIMEOUT, what preStop takes, and 5 s to spare; or lower SHUTDOWN_TIMEOUT.",
		project: gracePeriod,
	},
	{
		Name: "unread-variables", Severity: Error, Finds: "settings in variables that the program does not read",
		Reason:  "Variables count only in programs that load package env; this one does not import it.",
		Cure:    "Load package env in main, or make the setting in code.",
		project: unreadVariables,
	},
	{
		Name: "liveness", Severity: Error, Finds: "a liveness probe that asks for readiness",
		Reason:  "A database that is down, or a server that drains, makes it fail: every replica is restarted, again and again, which heals nothing.",
		Cure:    "Ask /livez, which depends on nothing but the process.",
		project: liveness,
	},
	{
		Name: "readiness", Severity: Error, Finds: "a pod without a readiness probe",
		Reason:  "Without it a pod gets calls before it has started, and goes on to get them when it is told to stop.",
		Cure:    "Add readinessProbe with httpGet /readyz, or grpc.",
		project: missing("readinessProbe", Error),
	},
	{
		Name: "liveness-missing", Severity: Warning, Finds: "a pod without a liveness probe",
		Reason:  "A process that hangs for good is never restarted.",
		Cure:    "Add livenessProbe with httpGet /livez.",
		project: missing("livenessProbe", Warning),
	},
	{
		Name: "probe-port", Severity: Error, Finds: "a probe of a port that the container does not name",
		Reason:  "The probe fails for ever: the pod never becomes ready, or is restarted for ever.",
		Cure:    "Name the port in ports, or give the probe its number.",
		project: probePort,
	},
	{
		Name: "ingress-plaintext", Severity: Error, Finds: "an ingress without TLS",
		Reason:  "Tokens and messages cross networks in the clear.",
		Cure:    "Add spec.tls with a secret for its hosts.",
		project: ingressPlaintext,
	},
	{
		Name: "memory-limit", Severity: Warning, Finds: "a container without a memory limit",
		Reason:  "A leak then takes the node, and the neighbours on it, instead of this one pod.",
		Cure:    "Set resources.limits.memory, and GOMEMLIMIT to nine tenths of it.",
		project: memoryLimit,
	},
}

func drainDelay(p *Project) []hit {
	var out []hit
	shutdown := p.shutdown()
	for _, c := range p.containers() {
		d, ok, unknown := c.duration("DRAIN_DELAY")
		read := p.readsEnv || p.readsVariable("DRAIN_DELAY") || len(p.sources) == 0 // elsewhere the image is not ours to see
		switch {
		case shutdown.drainDelay, ok && d > 0 && read, unknown, c.sleep() > 0:
		default:
			out = append(out, hit{where: c.where(nil), problem: fmt.Sprintf("container %s has no drain delay", c.name)})
		}
	}
	return out
}

func gracePeriod(p *Project) []hit {
	var out []hit
	for _, c := range p.containers() {
		budget, ok, unknown := c.duration("SHUTDOWN_TIMEOUT")
		if unknown {
			continue
		}
		if !ok {
			budget = p.shutdown().timeout
		}
		grace, at := c.grace()
		if need := budget + c.sleep() + spare; grace < need {
			out = append(out, hit{where: c.where(at), problem: fmt.Sprintf("the pod of container %s has %v to stop, and its stop may take %v and needs %v to spare", c.name, grace, budget+c.sleep(), spare)})
		}
	}
	return out
}

func unreadVariables(p *Project) []hit {
	if !p.framework || p.readsEnv {
		return nil
	}
	var out []hit
	for _, c := range p.containers() {
		for name, v := range c.env {
			if slices.Contains(variables, name) && !p.readsVariable(name) {
				out = append(out, hit{where: fmt.Sprintf("%s:%d", c.file, v.line), problem: name + " is set, and the program does not read it"})
			}
		}
	}
	slices.SortFunc(out, func(a, b hit) int { return strings.Compare(a.problem, b.problem) })
	return out
}

func liveness(p *Project) []hit {
	var out []hit
	for _, c := range p.containers() {
		probe := field(c.node, "livenessProbe")
		path := value(probe, "httpGet", "path")
		ready := value(c.node, "readinessProbe", "httpGet", "path")
		what := ""
		switch {
		case field(probe, "grpc") != nil:
			what = "asks grpc.health.v1, which is readiness"
		case path == "/readyz", path == "/healthz":
			what = "asks " + path
		case path != "" && path != "/livez" && path == ready:
			what = "asks the path of the readiness probe"
		default:
			continue
		}
		out = append(out, hit{where: c.where(probe), problem: fmt.Sprintf("the liveness probe of container %s %s", c.name, what)})
	}
	return out
}

func missing(probe string, severity Severity) func(*Project) []hit {
	return func(p *Project) []hit {
		var out []hit
		for _, c := range p.containers() {
			if field(c.node, probe) == nil {
				out = append(out, hit{where: c.where(nil), problem: fmt.Sprintf("container %s has no %s", c.name, probe), severity: severity})
			}
		}
		return out
	}
}

func probePort(p *Project) []hit {
	var out []hit
	for _, c := range p.containers() {
		var names []string
		for _, port := range items(c.node, "ports") {
			names = append(names, value(port, "name"))
		}
		for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
			for _, kind := range []string{"httpGet", "tcpSocket"} {
				port := field(c.node, probe, kind, "port")
				if port == nil || port.Tag == "!!int" || slices.Contains(names, port.Value) {
					continue
				}
				out = append(out, hit{where: c.where(port), problem: fmt.Sprintf("the %s of container %s asks port %q, which it does not have", probe, c.name, port.Value)})
			}
		}
	}
	return out
}

func ingressPlaintext(p *Project) []hit {
	var out []hit
	for _, o := range p.objects {
		if value(o.node, "kind") == "Ingress" && len(items(o.node, "spec", "tls")) == 0 {
			out = append(out, hit{where: fmt.Sprintf("%s:%d", o.file, plain(o.node).Line), problem: fmt.Sprintf("ingress %s has no TLS", value(o.node, "metadata", "name"))})
		}
	}
	return out
}

func memoryLimit(p *Project) []hit {
	var out []hit
	for _, c := range p.containers() {
		if value(c.node, "resources", "limits", "memory") == "" {
			out = append(out, hit{where: c.where(nil), problem: fmt.Sprintf("container %s has no memory limit", c.name)})
		}
	}
	return out
}
