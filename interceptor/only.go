package interceptor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Only returns link for the procedures that a pattern covers, and for no
// others: "pkg.Service/Method", "pkg.Service/*" or "*". What is covered is
// settled before serving. A pattern that is of another form, or covers no
// procedure of the server, is a start error.
func Only(link connectum.Interceptor, patterns ...string) connectum.Interceptor {
	return chosen("Only", link, patterns, true)
}

// Except returns link for the procedures that no pattern covers. Patterns are
// those of [Only].
func Except(link connectum.Interceptor, patterns ...string) connectum.Interceptor {
	return chosen("Except", link, patterns, false)
}

// OnlyKinds returns link for the procedures of these kinds. No kind at all is a
// start error; a kind that the server does not have is none.
func OnlyKinds(link connectum.Interceptor, kinds ...connect.StreamType) connectum.Interceptor {
	kinds = slices.Clone(kinds)
	return limited(link, func(spec connect.Spec) bool { return slices.Contains(kinds, spec.StreamType) },
		func([]connect.Spec) error {
			if len(kinds) == 0 {
				return errors.New("OnlyKinds has no kind")
			}
			return nil
		})
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

// chosen returns link for the procedures that patterns cover, or do not. name is
// that of the function, for errors.
func chosen(name string, link connectum.Interceptor, patterns []string, want bool) connectum.Interceptor {
	patterns = slices.Clone(patterns)
	return limited(link, func(spec connect.Spec) bool {
		covered := slices.ContainsFunc(patterns, func(p string) bool { return matches(p, spec.Procedure) })
		return covered == want
	}, func(bound []connect.Spec) error {
		var faults []error
		if len(patterns) == 0 {
			faults = append(faults, fmt.Errorf("%s has no pattern", name))
		}
		for _, p := range patterns {
			switch {
			case !valid(p):
				faults = append(faults, fmt.Errorf("%s(%q): want \"pkg.Service/Method\", \"pkg.Service/*\" or \"*\"", name, p))
			case !slices.ContainsFunc(bound, func(spec connect.Spec) bool { return matches(p, spec.Procedure) }):
				faults = append(faults, fmt.Errorf("%s(%q) covers no procedure of the server", name, p))
			}
		}
		return errors.Join(faults...)
	})
}

// limited returns link for the procedures that applies chooses, once check has
// seen all of them. It keeps nothing, so servers may share it.
func limited(link connectum.Interceptor, applies func(connect.Spec) bool, check func(bound []connect.Spec) error) connectum.Interceptor {
	bind, done := link.Bind, link.Done
	link.Bind = func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if !applies(spec) {
			return nil, nil
		}
		if bind == nil {
			return nil, errors.New("Bind is nil")
		}
		return bind(spec)
	}
	link.Done = func(bound []connect.Spec) error {
		err := check(bound)
		if done != nil {
			err = errors.Join(err, done(slices.DeleteFunc(bound, func(spec connect.Spec) bool { return !applies(spec) })))
		}
		return err
	}
	return link
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

// valid reports whether pattern has one of the three forms, which are those of
// Limits.PerProcedure. The root shows neither function, and this package uses
// nothing that a stranger could not.
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
