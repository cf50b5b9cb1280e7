package health

import (
	"maps"
	"slices"
	"time"

	"github.com/connectum-go/connectum"
)

// metrics yields the measurements. Labels are the names of services, components
// and dependencies, which the program gives.
func (c *Checker) metrics(yield func(connectum.Sample) bool) {
	state, v := c.server.State(), c.current()
	for _, name := range slices.Sorted(maps.Keys(v.entries)) {
		if e := v.entries[name]; !e.detail && !yield(connectum.Sample{
			Name: "connectum_health_serving", Help: "1 while the service is serving; without a name, the server.",
			Labels: []connectum.Label{{Name: "service", Value: name}}, Value: bit(e.at(state) == Serving),
		}) {
			return
		}
	}
	if !yield(connectum.Sample{Name: "connectum_health_watchers", Help: "Streams that watch a status.", Value: float64(c.watchers.Load())}) {
		return
	}
	for _, s := range c.dependencyMetrics() {
		if !yield(s) {
			return
		}
	}
}

// dependencyMetrics are by measurement, then by dependency.
func (c *Checker) dependencyMetrics() []connectum.Sample {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []connectum.Sample
	add := func(name, help string, counter, probed bool, value func(*dependency) float64) {
		for _, d := range c.dependencies {
			if !probed || !d.probed.IsZero() {
				out = append(out, connectum.Sample{Name: name, Help: help, Counter: counter,
					Labels: []connectum.Label{{Name: "dependency", Value: d.name}}, Value: value(d)})
			}
		}
	}
	add("connectum_health_dependency_up", "1 while the dependency is up.", false, false,
		func(d *dependency) float64 { return bit(d.up) })
	add("connectum_health_probe_failures_total", "Probes of the dependency that failed.", true, false,
		func(d *dependency) float64 { return float64(d.failures) })
	add("connectum_health_probe_age_seconds", "Seconds since the dependency's last result.", false, true,
		func(d *dependency) float64 { return now.Sub(d.probed).Seconds() })
	add("connectum_health_probe_duration_seconds", "Seconds the last probe of the dependency took.", false, true,
		func(d *dependency) float64 { return d.took.Seconds() })
	return out
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
