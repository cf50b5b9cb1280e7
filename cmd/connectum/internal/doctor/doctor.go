// Package doctor finds what bites in production: in the sources, manifests and
// certificates of a project, and in a server that runs.
package doctor

import (
	"cmp"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// The severities: an error loses calls, lets strangers in or stops the service
// one day; a warning may well be meant.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that was found. Its JSON is stable.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	// Where is a file and line, or an address.
	Where   string `json:"where"`
	Problem string `json:"problem"`
	// Reason is why it bites, and Cure what to do about it.
	Reason string `json:"reason"`
	Cure   string `json:"cure"`
}

// Check looks for one thing.
type Check struct {
	// Name is what findings are ignored by.
	Name string
	// Severity is the usual one; a hit may have its own.
	Severity Severity
	// Finds says what for, in a few words.
	Finds        string
	Reason, Cure string
	project      func(*Project) []hit
	live         func(*patient) []hit
}

// hit is where a check found what it looks for.
type hit struct {
	where, problem string
	severity       Severity // empty: the check's
}

// Checks returns all checks: first those of projects, then those of servers.
func Checks() []Check {
	return slices.Concat(clusterChecks, imageChecks, codeChecks, certificateChecks, liveChecks)
}

// findings turns hits into findings, unless their check is ignored.
func findings(c Check, hits []hit) []Finding {
	var out []Finding
	for _, h := range hits {
		out = append(out, Finding{c.Name, cmp.Or(h.severity, c.Severity), h.where, h.problem, c.Reason, c.Cure})
	}
	return out
}

// sorted puts errors before warnings, and otherwise keeps the order of checks.
func sorted(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) }) // "error" < "warning"
	return slices.Compact(all)
}

// Diagnose runs the checks of projects on p, but for those whose names are
// ignored.
func Diagnose(p *Project, ignore []string) []Finding {
	var out []Finding
	for _, c := range Checks() {
		if c.project != nil && !slices.Contains(ignore, c.Name) {
			out = append(out, findings(c, c.project(p))...)
		}
	}
	return sorted(out)
}
