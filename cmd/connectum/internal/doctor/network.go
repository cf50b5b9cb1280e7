package doctor

import (
	"net"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// doors are what leads to the ports of a pod in its cluster: the services and
// the policies of the project that select it.
type doors struct {
	c        *container
	services []object
	policies []object
}

func (p *Project) doorsOf(c *container) doors {
	d := doors{c: c}
	for _, o := range p.objects {
		if value(o.node, "metadata", "namespace") != c.namespace {
			continue
		}
		switch value(o.node, "kind") {
		case "Service":
			if selector := field(o.node, "spec", "selector"); selector != nil && c.has(selector) {
				d.services = append(d.services, o)
			}
		case "NetworkPolicy":
			types := items(o.node, "spec", "policyTypes")
			ingress := len(types) == 0 || slices.ContainsFunc(types, func(n *yaml.Node) bool { return n.Value == "Ingress" })
			// An expression may leave the pod out: then it is not kept safe.
			if ingress && len(items(o.node, "spec", "podSelector", "matchExpressions")) == 0 && c.has(field(o.node, "spec", "podSelector", "matchLabels")) {
				d.policies = append(d.policies, o)
			}
		}
	}
	return d
}

// has tells whether the pod has the labels of a selector; an empty one selects
// every pod.
func (c *container) has(selector *yaml.Node) bool {
	for name, v := range entries(selector) {
		if value(c.labels, name) != v.Value {
			return false
		}
	}
	return true
}

// isPort tells whether n names a port of the pod, by its number or its name.
func (d doors) isPort(n *yaml.Node, port int) bool {
	if n == nil {
		return false
	}
	if number, err := strconv.Atoi(n.Value); err == nil {
		return number == port
	}
	for _, have := range items(d.c.node, "ports") {
		if value(have, "name") == n.Value {
			return value(have, "containerPort") == strconv.Itoa(port)
		}
	}
	return false
}

// published returns the first service that leads from outside the cluster to
// a port.
func (d doors) published(port int) (object, bool) {
	for _, o := range d.services {
		if kind := value(o.node, "spec", "type"); kind != "LoadBalancer" && kind != "NodePort" {
			continue
		}
		for _, p := range items(o.node, "spec", "ports") {
			to := field(p, "targetPort")
			if to == nil {
				to = field(p, "port")
			}
			if d.isPort(to, port) {
				return o, true
			}
		}
	}
	return object{}, false
}

// guarded tells whether a policy selects the pod, and none of those that do
// opens the port to everybody.
func (d doors) guarded(port int) bool {
	for _, o := range d.policies {
		for _, rule := range items(o.node, "spec", "ingress") {
			if d.opens(rule, port) && fromAnywhere(rule) {
				return false
			}
		}
	}
	return len(d.policies) > 0
}

// opens tells whether a rule is about a port: without ports it is about all.
func (d doors) opens(rule *yaml.Node, port int) bool {
	ports := items(rule, "ports")
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p *yaml.Node) bool {
		if protocol := value(p, "protocol"); protocol != "" && protocol != "TCP" {
			return false
		}
		first, last := field(p, "port"), value(p, "endPort")
		if first == nil || d.isPort(first, port) {
			return true
		}
		low, err := strconv.Atoi(first.Value)
		high, errHigh := strconv.Atoi(last)
		return err == nil && errHigh == nil && low <= port && port <= high
	})
}

// fromAnywhere tells whether a rule lets in all of the cluster, or more.
func fromAnywhere(rule *yaml.Node) bool {
	peers := items(rule, "from")
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(peer *yaml.Node) bool {
		if cidr := value(peer, "ipBlock", "cidr"); cidr == "0.0.0.0/0" || cidr == "::/0" {
			return true
		}
		namespaces := field(peer, "namespaceSelector")
		return namespaces != nil && len(namespaces.Content) == 0 && field(peer, "podSelector") == nil
	})
}

// portOf returns the number of the port of an address to listen on.
func portOf(addr string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}
