package doctor

import "go.yaml.in/yaml/v3"

// field walks down mappings, and returns nil where there is nothing.
func field(n *yaml.Node, path ...string) *yaml.Node {
	n = plain(n)
	for _, name := range path {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				next = n.Content[i+1]
			}
		}
		n = plain(next)
	}
	return n
}

// plain looks through documents and aliases.
func plain(n *yaml.Node) *yaml.Node {
	for range 10 {
		switch {
		case n == nil:
			return nil
		case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
			n = n.Content[0]
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		default:
			return n
		}
	}
	return nil
}

// value returns the scalar at path, or "".
func value(n *yaml.Node, path ...string) string {
	if n = field(n, path...); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// items returns the sequence at path.
func items(n *yaml.Node, path ...string) []*yaml.Node {
	n = field(n, path...)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]*yaml.Node, 0, len(n.Content))
	for _, c := range n.Content {
		if c = plain(c); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// entries yields the keys and values of the mapping at path.
func entries(n *yaml.Node, path ...string) func(yield func(string, *yaml.Node) bool) {
	n = field(n, path...)
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if v := plain(n.Content[i+1]); v != nil && !yield(n.Content[i].Value, v) {
				return
			}
		}
	}
}
