package telemetry

import (
	"regexp"
	"slices"
	"strings"

	"github.com/connectum-go/connectum"
)

// artefact is what a generated file is made from: the services that are
// registered, and the measurements that the server yields beyond those that each
// one does.
type artefact struct {
	services []string
	extra    map[string]bool
}

func survey(srv *connectum.Server) artefact {
	a := artefact{extra: map[string]bool{}}
	for spec := range srv.Procedures() {
		service, _, _ := strings.Cut(strings.TrimPrefix(spec.Procedure, "/"), "/")
		if !strings.HasPrefix(service, "grpc.") && !slices.Contains(a.services, service) { // health and reflection
			a.services = append(a.services, service)
		}
	}
	for m := range srv.Metrics() {
		a.extra[m.Name] = true
	}
	return a
}

// of selects the calls of a service.
func of(service string) string {
	return `{rpc_method=~"` + strings.ReplaceAll(regexp.QuoteMeta(service), `\`, `\\`) + `/.*"}`
}

// and adds a condition to a selector.
func and(selector, condition string) string {
	return strings.TrimSuffix(selector, "}") + "," + condition + "}"
}
