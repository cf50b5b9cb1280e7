package doctor

import (
	"cmp"
	"fmt"
	"go/ast"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// codeChecks are those of Go sources, and of variables that say the same.
var codeChecks = []Check{
	{
		Name: "plaintext", Severity: Warning, Finds: "a server that strangers reach without TLS",
		Reason:  "Tokens and messages cross networks in the clear, for whoever is on the way to read and change.",
		Cure:    "Set TLS in connectum.Config, or TLS_CERT and TLS_KEY; where a proxy or a mesh in front does it, ignore this check.",
		project: plaintext,
	},
	{
		Name: "admin-public", Severity: Warning, Finds: "an admin listener that others than its operators reach",
		Reason:  "It has profiles, metrics and the reasons of failing dependencies, in plaintext and without a login.",
		Cure:    "Listen on localhost. In a pod, where Prometheus or the kubelet has to ask it, listen on the port and let no others in by a NetworkPolicy beside the manifest.",
		project: adminPublic,
	},
	{
		Name: "reflection-open", Severity: Warning, Finds: "reflection that tells everything to everyone",
		Reason:  "It tells strangers of every method there is, and how to call it.",
		Cure:    "Leave it out, name what may be known (reflection.WithServices), or authenticate its callers in an interceptor and ignore this check.",
		project: reflectionOpen,
	},
	{
		Name: "limit-off", Severity: Error, Finds: "a limit that is switched off",
		Reason:  "One client can then take all memory, connections or time of the server, by mistake or on purpose.",
		Cure:    "Set a number that fits the largest good use, for one procedure if need be (Limits.PerProcedure).",
		project: limitOff,
	},
	{
		Name: "get-open", Severity: Warning, Finds: "Connect's GET for procedures without side effects",
		Reason:  "Any web page can send such requests with the cookies of its visitor, and caches on the way keep the answers.",
		Cure:    "Leave AllowGET off unless a cache needs it, and then do without cookies.",
		project: getOpen,
	},
	{
		Name: "stop-unbounded", Severity: Error, Finds: "a stop that waits for calls without end",
		Reason:  "The orchestrator kills the process before: calls are cut all the same, and shutdown hooks do not run.",
		Cure:    "Leave Shutdown.NoForce off, so that what is left is cut in time for the hooks.",
		project: stopUnbounded,
	},
	{
		Name: "client-deadline", Severity: Error, Finds: "a call without a deadline",
		Reason:  "When the server hangs the caller hangs with it, and so does whoever waits for the caller, until all of them have run out of something.",
		Cure:    "Pass the context of the request that is being served, or one of context.WithTimeout; or interceptor.ClientConfig with AttemptTimeout.",
		project: clientDeadline,
	},
	{
		Name: "retry-unsafe", Severity: Error, Finds: "retries of methods that may have side effects",
		Reason:  "A call that failed may have been carried out: its repetition charges the card twice.",
		Cure:    "Mark the method as NO_SIDE_EFFECTS or IDEMPOTENT in its schema when it is, and leave RetryConfig.Unsafe out.",
		project: retryUnsafe,
	},
}

// local reports whether an address to listen on is for this machine alone.
func local(addr string) bool {
	if strings.HasPrefix(addr, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func plaintext(p *Project) []hit {
	containers := p.containers()
	byVariable := false
	for _, c := range containers {
		if _, set := c.env["TLS_CERT"]; set || c.opaque {
			byVariable = true
		}
	}
	var out []hit
	literals, secure := 0, false
	for _, s := range p.sources {
		later := s.assigns("TLS") || byVariable && (p.readsEnv || p.readsVariable("TLS_CERT"))
		s.literals(framework, "Config", func(lit *ast.CompositeLit) {
			literals++
			addr, _ := text(element(lit, "Addr"))
			switch {
			case element(lit, "TLS") != nil, later:
				secure = true
			case addr == "" || !local(addr):
				out = append(out, hit{where: p.at(lit.Pos()), problem: "the server has no TLS"})
			}
		})
	}
	if literals == 0 && p.readsEnv && !byVariable {
		for _, c := range containers {
			out = append(out, hit{where: c.where(nil), problem: fmt.Sprintf("container %s has no TLS_CERT", c.name)})
		}
	}
	for _, o := range p.objects {
		if value(o.node, "kind") == "Service" && value(o.node, "spec", "type") == "LoadBalancer" && len(containers) > 0 && !secure && !byVariable {
			out = append(out, hit{where: fmt.Sprintf("%s:%d", o.file, plain(o.node).Line), severity: Error,
				problem: fmt.Sprintf("service %s has a public address, and the server no TLS", value(o.node, "metadata", "name"))})
		}
	}
	return out
}

// adminPublic takes an address of a pod for what it is: one of the cluster, for
// a NetworkPolicy to guard.
func adminPublic(p *Project) []hit {
	var out []hit
	containers := p.containers()
	for _, s := range p.sources {
		s.settings(framework, "Config", func(field string, v ast.Expr) {
			addr, ok := text(v)
			if !ok || field != "AdminAddr" || addr == "" || local(addr) {
				return
			}
			open := func(c *container) bool { return !p.doorsOf(c).guarded(portOf(addr)) }
			if len(containers) == 0 || slices.ContainsFunc(containers, open) {
				out = append(out, hit{where: p.at(v.Pos()), problem: fmt.Sprintf("the admin listener is on %q", addr)})
			}
		})
	}
	for _, c := range containers {
		v, set := c.env["ADMIN_LISTEN"]
		if !set || !v.known || v.value == "" || local(v.value) {
			continue
		}
		d, port := p.doorsOf(c), portOf(v.value)
		if !d.guarded(port) {
			out = append(out, hit{where: fmt.Sprintf("%s:%d", c.file, v.line),
				problem: fmt.Sprintf("the admin listener is on %q, and no NetworkPolicy keeps the rest of the cluster away", v.value)})
		}
		if o, yes := d.published(port); yes {
			out = append(out, hit{where: fmt.Sprintf("%s:%d", o.file, plain(o.node).Line), severity: Error,
				problem: fmt.Sprintf("service %s leads from outside the cluster to the admin listener", value(o.node, "metadata", "name"))})
		}
	}
	return out
}

func reflectionOpen(p *Project) []hit {
	var out []hit
	for _, s := range p.sources {
		s.calls(framework+"/reflection", "Register", func(call *ast.CallExpr) {
			if call.Ellipsis.IsValid() {
				return
			}
			for _, arg := range call.Args {
				if c, ok := arg.(*ast.CallExpr); ok && s.is(c.Fun, framework+"/reflection", "WithServices") {
					return
				}
			}
			out = append(out, hit{where: p.at(call.Pos()), problem: "reflection tells of every service"})
		})
	}
	return out
}

// harmless may be negative: that is their default, or costs time alone.
var harmless = []string{"CompressMinBytes", "MaxConnectionAge", "AgeJitter"}

func limitOff(p *Project) []hit {
	var out []hit
	for _, s := range p.sources {
		for _, typ := range []string{"Limits", "ProcedureLimits"} {
			s.settings(framework, typ, func(field string, v ast.Expr) {
				if n, ok := s.constant(v); ok && n < 0 && !slices.Contains(harmless, field) {
					out = append(out, hit{where: p.at(v.Pos()), problem: field + " is negative: there is no limit"})
				}
			})
		}
	}
	limits := []string{
		"REQUEST_TIMEOUT", "MAX_RECEIVE_BYTES", "MAX_JSON_BYTES", "MAX_SEND_BYTES", "DECODE_BUDGET_BYTES", "MAX_CONNS", "MAX_IN_FLIGHT",
		"HEADER_TIMEOUT", "HANDSHAKE_TIMEOUT", "IDLE_TIMEOUT", "READ_STALL", "WRITE_STALL", "PING_INTERVAL",
	}
	return append(out, p.variablesThat(func(name, v string) string {
		if v == "none" && slices.Contains(limits, name) {
			return name + " is none: there is no limit"
		}
		return ""
	})...)
}

// variablesThat returns hits where judge has something to say of a variable.
func (p *Project) variablesThat(judge func(name, v string) string) []hit {
	var out []hit
	for _, c := range p.containers() {
		for name, v := range c.env {
			if problem := judge(name, v.value); v.known && problem != "" {
				out = append(out, hit{where: fmt.Sprintf("%s:%d", c.file, v.line), problem: problem})
			}
		}
	}
	slices.SortFunc(out, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.where, b.where), cmp.Compare(a.problem, b.problem))
	})
	return out
}

// yes is how package env reads true.
func yes(v string) bool { return slices.Contains([]string{"true", "1", "t", "T", "TRUE", "True"}, v) }

func getOpen(p *Project) []hit {
	var out []hit
	for _, s := range p.sources {
		s.settings(framework, "Config", func(field string, v ast.Expr) {
			if field == "AllowGET" && isTrue(v) {
				out = append(out, hit{where: p.at(v.Pos()), problem: "GET is answered"})
			}
		})
	}
	return append(out, p.variablesThat(func(name, v string) string {
		if name == "ALLOW_GET" && yes(v) {
			return "GET is answered"
		}
		return ""
	})...)
}

func stopUnbounded(p *Project) []hit {
	var out []hit
	for _, s := range p.sources {
		s.settings(framework, "Shutdown", func(field string, v ast.Expr) {
			if field == "NoForce" && isTrue(v) {
				out = append(out, hit{where: p.at(v.Pos()), problem: "NoForce waits for calls as long as they take"})
			}
		})
	}
	return append(out, p.variablesThat(func(name, v string) string {
		if name == "SHUTDOWN_NO_FORCE" && yes(v) {
			return "SHUTDOWN_NO_FORCE waits for calls as long as they take"
		}
		return ""
	})...)
}

func retryUnsafe(p *Project) []hit {
	var out []hit
	for _, s := range p.sources {
		s.settings(framework+"/resilience", "RetryConfig", func(field string, v ast.Expr) {
			if id, isNil := v.(*ast.Ident); field == "Unsafe" && !(isNil && id.Name == "nil") {
				out = append(out, hit{where: p.at(v.Pos()), problem: "Unsafe repeats methods that the schema does not call safe"})
			}
		})
	}
	return out
}
