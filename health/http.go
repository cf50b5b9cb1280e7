package health

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/connectum-go/connectum"
)

// answer is what one HTTP probe says: a word for everyone, and the code that
// orchestrators read.
type answer struct {
	code int
	word string
}

func (c *Checker) handle(paths Paths) {
	for _, p := range []struct {
		path string
		ask  func(v *view, state connectum.State, service string) answer
	}{
		{paths.Live, func(*view, connectum.State, string) answer { return answer{http.StatusOK, "ALIVE"} }},
		{paths.Ready, c.readiness},
		{paths.Startup, c.startup},
		{paths.Overall, c.overall},
	} {
		if p.path == "" {
			continue
		}
		forService := p.path != paths.Live && p.path != paths.Startup
		c.server.HandleSystem(pattern(p.path), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				w.Header().Set("Allow", "GET, HEAD") // RFC 9110 section 15.5.6
				http.Error(w, "only GET and HEAD are allowed here", http.StatusMethodNotAllowed)
				return
			}
			c.settle()
			service := ""
			if forService {
				service = r.URL.Query().Get("service")
			}
			v, details := c.current(), c.trusted(r.Context())
			a := answer{http.StatusNotFound, "SERVICE_UNKNOWN"}
			if e, known := v.entries[service]; known && (details || !e.detail) {
				a = p.ask(v, c.server.State(), service)
			}
			c.write(w, r, a, service, details)
		}))
	}
}

// readiness is Check, over HTTP.
func (c *Checker) readiness(v *view, state connectum.State, service string) answer {
	return of(v.entries[service].at(state))
}

func of(s Status) answer {
	if s == Serving {
		return answer{http.StatusOK, s.String()}
	}
	return answer{http.StatusServiceUnavailable, s.String()}
}

// startup is over when calls are accepted and every dependency has been probed,
// whatever came out: a dependency that is down must not have the process
// restarted.
func (c *Checker) startup(v *view, state connectum.State, _ string) answer {
	started := state >= connectum.StateRunning || v.override && v.entries[""].before == Serving
	c.mu.Lock()
	for _, d := range c.dependencies {
		started = started && (!d.probed.IsZero() || state > connectum.StateRunning)
	}
	c.mu.Unlock()
	if !started {
		return answer{http.StatusServiceUnavailable, "STARTING"}
	}
	return answer{http.StatusOK, "STARTED"}
}

// overall is the answer of the process: what it depends on, and its leaving,
// are told but do not make it unhealthy.
func (c *Checker) overall(v *view, state connectum.State, service string) answer {
	e := v.entries[service]
	switch {
	case service != "":
		return of(e.at(state))
	case state > connectum.StateRunning:
		return answer{http.StatusOK, "DRAINING"}
	case v.override:
		return of(e.process)
	case state < connectum.StateRunning:
		return answer{http.StatusServiceUnavailable, "STARTING"}
	case e.process == Serving && e.running != Serving:
		return answer{http.StatusOK, "DEGRADED"}
	}
	return of(e.process)
}

// report is the answer in JSON. Strangers get the first three fields.
type report struct {
	Status    string            `json:"status"`
	Service   string            `json:"service"` // or "overall"
	Timestamp time.Time         `json:"timestamp"`
	State     string            `json:"state,omitempty"`
	Services  map[string]string `json:"services,omitempty"`
	Checks    []checkReport     `json:"checks,omitempty"`
}

// checkReport is one dependency.
type checkReport struct {
	Name       string    `json:"name"`
	Status     string    `json:"status"`
	Reason     string    `json:"reason,omitempty"` // of the last probe, if it failed
	Critical   bool      `json:"critical"`
	Services   []string  `json:"services,omitempty"` // it is tied to
	AgeSeconds *float64  `json:"ageSeconds"`         // since the last result; null before the first
	Since      time.Time `json:"since,omitzero"`     // of the status
	Failures   int       `json:"failures"`           // in a row
}

func (c *Checker) write(w http.ResponseWriter, r *http.Request, a answer, service string, details bool) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	verbose := details && r.URL.Query().Has("verbose")
	if !verbose && !acceptsJSON(r) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(a.code)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, a.word+"\n")
		}
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	if r.Method == http.MethodHead {
		return
	}
	now := time.Now()
	out := report{Status: a.word, Service: service, Timestamp: now.UTC()}
	if service == "" {
		out.Service = "overall"
	}
	if details {
		c.detail(&out, now)
	}
	_ = json.NewEncoder(w).Encode(out)
}

// detail adds what is not for strangers.
func (c *Checker) detail(out *report, now time.Time) {
	state := c.server.State()
	out.State, out.Services = state.String(), map[string]string{}
	for name, e := range c.current().entries {
		if name != "" && !e.detail {
			out.Services[name] = e.at(state).String()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.dependencies {
		r := checkReport{Name: d.name, Status: d.status().String(), Reason: d.reason, Critical: d.critical,
			Services: d.services, Since: d.changed.UTC(), Failures: d.bad}
		if d.probed.IsZero() {
			r.Reason, r.Since = "not probed yet", time.Time{}
		} else {
			age := math.Round(now.Sub(d.probed).Seconds()*1000) / 1000
			r.AgeSeconds = &age
		}
		out.Checks = append(out.Checks, r)
	}
}

// acceptsJSON reports whether the client asks for JSON by name.
func acceptsJSON(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			media, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), "application/json") {
				return true
			}
		}
	}
	return false
}
