package health

import "strings"

// Option changes what [Register] sets up.
type Option interface{ apply(*options) }

type options struct {
	paths   Paths
	details bool
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// Paths are where the HTTP probes answer, each an exact path such as
// "/readyz". An empty path is not answered.
type Paths struct {
	Live    string // the process answers; for a liveness probe
	Ready   string // calls may be sent; for a readiness probe and balancers
	Startup string // the start is over; for a startup probe
	Overall string // the overall answer; for people and container engines
}

// WithPaths puts the HTTP probes on paths, all of them: those left empty are
// not answered. A path that is taken, or does not begin with a slash, panics.
// The default is /livez, /readyz, /startupz and /healthz.
func WithPaths(paths Paths) Option {
	return optionFunc(func(o *options) { o.paths = paths })
}

// WithDetails tells everyone on Addr what else is told on AdminAddr alone: the
// names of dependencies, and the errors of their probes as they are, which may
// hold addresses and more.
func WithDetails() Option {
	return optionFunc(func(o *options) { o.details = true })
}

// pattern makes an exact pattern of [http.ServeMux] of a path.
func pattern(path string) string {
	if !strings.HasPrefix(path, "/") {
		panic("health: the path " + path + " of a probe does not begin with a slash")
	}
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return path
}
