package interceptor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Only returns link for the procedures that a pattern covers, and for no
// others: "pkg.Service/Method", "pkg.Service/*" or "*". What is covered is
// settled before serving. A pattern that is of another form, or covers no
// procedure of the server, is a start error.
func Only(link connectum.Interceptor, patterns ...string) connectum.Interceptor {
	return chosen("Only", link, patterns, func(covered bool) bool { return covered })
}

// Except returns link for the procedures that no pattern covers. Patterns are
// those of [Only].
func Except(link connectum.Interceptor, patterns ...string) connectum.Interceptor {
	return chosen("Except", link, patterns, func(covered bool) bool { return !covered })
}

// OnlyKinds returns link for the procedures of these kinds.
func OnlyKinds(link connectum.Interceptor, kinds ...connect.StreamType) connectum.Interceptor {
	bind := link.Bind
	link.Bind = func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if !slices.Contains(kinds, spec.StreamType) {
			return nil, nil
		}
		return bind(spec)
	}
	return link
}

// ByProcedure returns a chain of what applies by pattern, the most general
// outermost: first what stands under "*", then under "pkg.Service/*", then
// under "pkg.Service/Method", each in its order. All that cover a procedure
// apply to it.
func ByProcedure(links map[string][]connectum.Interceptor) []connectum.Interceptor {
	patterns := slices.SortedFunc(maps.Keys(links), func(a, b string) int {
		return cmp.Or(cmp.Compare(specificity(a), specificity(b)), strings.Compare(a, b))
	})
	var chain []connectum.Interceptor
	for _, p := range patterns {
		for _, link := range links[p] {
			chain = append(chain, Only(link, p))
		}
	}
	return chain
}

// choice is which procedures a link is bound to.
type choice struct {
	name     string // of the function, for errors
	patterns []string

	mu      sync.Mutex
	covered map[string]bool // patterns that cover something
}

func chosen(name string, link connectum.Interceptor, patterns []string, want func(covered bool) bool) connectum.Interceptor {
	c := &choice{name: name, patterns: slices.Clone(patterns), covered: map[string]bool{}}
	bind, done := link.Bind, link.Done
	link.Bind = func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if !want(c.covers(spec.Procedure)) {
			return nil, nil
		}
		if bind == nil {
			return nil, errors.New("Bind is nil")
		}
		return bind(spec)
	}
	link.Done = func() error {
		err := c.check()
		if done != nil {
			err = errors.Join(err, done())
		}
		return err
	}
	return link
}

func (c *choice) covers(procedure string) (covered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.patterns {
		if matches(p, procedure) {
			c.covered[p], covered = true, true
		}
	}
	return covered
}

// check reports what is wrong with the patterns, once all procedures have been
// bound.
func (c *choice) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var faults []error
	if len(c.patterns) == 0 {
		faults = append(faults, fmt.Errorf("%s has no pattern", c.name))
	}
	for _, p := range c.patterns {
		switch {
		case !valid(p):
			faults = append(faults, fmt.Errorf("%s(%q): want \"pkg.Service/Method\", \"pkg.Service/*\" or \"*\"", c.name, p))
		case !c.covered[p]:
			faults = append(faults, fmt.Errorf("%s(%q) covers no procedure of the server", c.name, p))
		}
	}
	clear(c.covered) // the next server is another
	return errors.Join(faults...)
}

// specificity orders patterns.
func specificity(pattern string) int {
	switch {
	case pattern == "*":
		return 0
	case strings.HasSuffix(pattern, "/*"):
		return 1
	}
	return 2
}

// valid reports whether pattern has one of the three forms.
func valid(pattern string) bool {
	if pattern == "*" {
		return true
	}
	service, method, ok := strings.Cut(pattern, "/")
	return ok && service != "" && method != "" && !strings.ContainsAny(service+method, "/ ") &&
		!strings.Contains(service, "*") && (method == "*" || !strings.Contains(method, "*"))
}

// matches reports whether pattern covers procedure ("/pkg.Service/Method").
func matches(pattern, procedure string) bool {
	name := strings.TrimPrefix(procedure, "/")
	if pattern == "*" || pattern == name {
		return true
	}
	service, ok := strings.CutSuffix(pattern, "/*")
	return ok && strings.HasPrefix(name, service+"/")
}
