package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// container is one of a pod that runs for good, with what the pod says.
type container struct {
	file string
	node *yaml.Node
	pod  *yaml.Node
	name string
	// labels and namespace are what services and policies select the pod by.
	labels    *yaml.Node
	namespace string
	// env has the variables that are set; those from elsewhere have known false.
	env map[string]variable
	// opaque tells that there are more variables, which are not in the project.
	opaque bool
}

type variable struct {
	value string
	known bool
	line  int
}

func (c *container) where(n *yaml.Node) string {
	if n == nil {
		n = c.node
	}
	return fmt.Sprintf("%s:%d", c.file, n.Line)
}

// containers returns those that run the project's service: the ones that show
// it by its variables or probes, or else, in a project that uses the framework,
// those that have ports.
func (p *Project) containers() []*container {
	var all []*container
	for _, o := range p.objects {
		var template *yaml.Node
		switch value(o.node, "kind") {
		case "Pod":
			template = o.node
		case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
			template = field(o.node, "spec", "template")
		}
		pod := field(template, "spec")
		for _, n := range items(pod, "containers") {
			c := &container{file: o.file, node: n, pod: pod, name: value(n, "name"), env: map[string]variable{},
				labels: field(template, "metadata", "labels"), namespace: value(o.node, "metadata", "namespace")}
			p.readEnv(c)
			all = append(all, c)
		}
	}
	ours := slices.DeleteFunc(slices.Clone(all), func(c *container) bool { return !c.shows() })
	if len(ours) == 0 && p.framework {
		ours = slices.DeleteFunc(all, func(c *container) bool { return len(items(c.node, "ports")) == 0 })
	}
	return ours
}

// variables of the framework that no other image is likely to have.
var variables = []string{
	"DRAIN_DELAY", "SHUTDOWN_TIMEOUT", "STREAM_GRACE", "SHUTDOWN_NO_FORCE", "ADMIN_LISTEN", "MAX_RECEIVE_BYTES", "MAX_JSON_BYTES",
	"MAX_IN_FLIGHT", "MAX_CONNS", "DECODE_BUDGET_BYTES", "TLS_RELOAD_INTERVAL", "TLS_CLIENT_CA", "ALLOW_GET",
}

func (c *container) shows() bool {
	for name := range c.env {
		if slices.Contains(variables, name) {
			return true
		}
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if field(c.node, probe, "grpc") != nil || slices.Contains([]string{"/livez", "/readyz", "/startupz"}, value(c.node, probe, "httpGet", "path")) {
			return true
		}
	}
	return false
}

// readEnv collects the variables, also of ConfigMaps that are in the project.
func (p *Project) readEnv(c *container) {
	for _, from := range items(c.node, "envFrom") {
		config := p.configMap(value(from, "configMapRef", "name"))
		if config == nil {
			c.opaque = true
			continue
		}
		for name, v := range entries(config, "data") {
			c.env[value(from, "prefix")+name] = variable{v.Value, true, from.Line}
		}
	}
	for _, e := range items(c.node, "env") {
		name := value(e, "name")
		if v := field(e, "value"); v != nil {
			c.env[name] = variable{v.Value, true, v.Line}
			continue
		}
		set := variable{line: e.Line}
		if config := p.configMap(value(e, "valueFrom", "configMapKeyRef", "name")); config != nil {
			if v := field(config, "data", value(e, "valueFrom", "configMapKeyRef", "key")); v != nil {
				set = variable{v.Value, true, e.Line}
			}
		}
		c.env[name] = set
	}
}

func (p *Project) configMap(name string) *yaml.Node {
	for _, o := range p.objects {
		if name != "" && value(o.node, "kind") == "ConfigMap" && value(o.node, "metadata", "name") == name {
			return o.node
		}
	}
	return nil
}

// duration returns the value of a variable: ok is false when it is not there or
// no duration, and unknown tells that it may be set where we can't see it.
func (c *container) duration(name string) (d time.Duration, ok, unknown bool) {
	v, set := c.env[name]
	if !set {
		return 0, false, c.opaque
	}
	if !v.known {
		return 0, false, true
	}
	d, err := time.ParseDuration(v.value)
	return d, err == nil, false
}

// grace returns what the pod gives to the stop: 30 s unless it says otherwise.
func (c *container) grace() (d time.Duration, at *yaml.Node) {
	at = field(c.pod, "terminationGracePeriodSeconds")
	if at == nil {
		return 30 * time.Second, nil
	}
	n, err := strconv.Atoi(at.Value)
	if err != nil {
		return 30 * time.Second, at
	}
	return time.Duration(n) * time.Second, at
}

// sleep returns what a preStop hook takes of that, as far as it shows.
func (c *container) sleep() time.Duration {
	hook := field(c.node, "lifecycle", "preStop")
	if n, err := strconv.Atoi(value(hook, "sleep", "seconds")); err == nil {
		return time.Duration(n) * time.Second
	}
	var words []string
	for _, w := range items(hook, "exec", "command") {
		words = append(words, strings.Fields(w.Value)...)
	}
	for i, w := range words {
		if w == "sleep" && i+1 < len(words) {
			if n, err := strconv.Atoi(strings.TrimSuffix(words[i+1], "s")); err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return 0
}
