package connectum

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
)

// A pattern of PerProcedure is either a mistake or covers what it says: one
// method, all of a service, or everything.
func FuzzLimitPatterns(f *testing.F) {
	for _, p := range []string{"*", "a.B/*", "a.B/C", "", "/", "*/C", "a.B/*C", "a.B/", "a.B", "/a.B/C", "a.B/C ", "a*/C", "a.B/C/D", "a.B/*/"} {
		f.Add(p, "/a.B/C")
	}
	f.Add("a/*", "/ab/C")
	f.Add("a/bc", "/a/b")
	f.Fuzz(func(t *testing.T, pattern, procedure string) {
		service, method, ok := strings.Cut(strings.TrimPrefix(procedure, "/"), "/")
		if !strings.HasPrefix(procedure, "/") || !ok || !validPattern(service+"/"+method) || method == "*" {
			return // no name of a procedure
		}
		covers := pattern == "*" || pattern == service+"/*" || pattern == service+"/"+method
		if covers && !validPattern(pattern) {
			t.Errorf("%q covers %s and is a mistake", pattern, procedure)
		}
		if !validPattern(pattern) {
			return
		}
		if matches(pattern, procedure) != covers {
			t.Errorf("%q matches %s: %v, want %v", pattern, procedure, !covers, covers)
		}
		l := Limits{PerProcedure: map[string]ProcedureLimits{pattern: {MaxReceiveBytes: 7}}}.withDefaults()
		if got := l.resolve(connect.Spec{Procedure: procedure}).receive == 7; got != covers {
			t.Errorf("the limit of %q holds for %s: %v, want %v", pattern, procedure, got, covers)
		}
		if faults := l.check(); len(faults) > 0 {
			t.Errorf("%q: %v", pattern, faults)
		}
	})
}
