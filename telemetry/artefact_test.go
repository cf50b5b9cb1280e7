package telemetry_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/telemetry"
)

// Every metric that the dashboard and the alerts name is on /metrics, with the
// labels that are asked for.
func TestWhatIsGeneratedNamesMetricsThatExist(t *testing.T) {
	t.Parallel()
	var srv *connectum.Server
	o := observe(t, telemetry.Config{Traces: telemetry.Console, Output: io.Discard}, func(s *connectum.Server) { srv = s })
	if err := methods[0].call(t.Context(), o.GRPC()); err != nil {
		t.Fatal(err)
	}
	code, text := o.ask(t, "GET", "/metrics", "text/plain", "")
	if code != http.StatusOK {
		t.Fatal(code)
	}
	dashboard, err := telemetry.Dashboard(srv, "shop")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(dashboard, &board); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	alerts := telemetry.Alerts(srv, telemetry.AlertConfig{ErrorRatio: 0.05, Duration: 250 * time.Millisecond})
	if err := yaml.Unmarshal(alerts, &file); err != nil {
		t.Fatalf("%v\n%s", err, alerts)
	}
	var exprs []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	panels := len(exprs)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%+v", r)
			}
			exprs = append(exprs, r.Expr)
		}
	}
	if board.Title != "shop" || panels < 20 || len(exprs)-panels < 8 || file.Groups[0].Name != "connectum.test.v1.TestService" {
		t.Fatalf("%d expressions in panels, %d in rules", panels, len(exprs)-panels)
	}
	for _, expr := range exprs {
		for _, fault := range missing(text, expr) {
			t.Errorf("%s: in %s", fault, expr)
		}
	}
	// The control.
	if len(missing(text, `rate(rpc_server_calls_total[5m])`)) == 0 || len(missing(text, `connectum_calls_in_flight{procedure="x"}`)) == 0 {
		t.Error("what does not exist is found")
	}
	if !slices.ContainsFunc(exprs, func(e string) bool { return strings.Contains(e, "> 0.05") }) || !strings.Contains(string(alerts), "> 0.25") {
		t.Error("the settings have no effect")
	}
}

var (
	selectors = regexp.MustCompile(`\b((?:rpc|connectum|process|go)_[a-z0-9_]+)(\{[^}]*\})?`)
	labelled  = regexp.MustCompile(`([a-z_]+)(?:=~|!=|=)`)
	grouped   = regexp.MustCompile(`by \([a-z_, ]*\)`)
)

// missing tells what of an expression is not in a scrape.
func missing(scrape, expr string) []string {
	var faults []string
	expr = grouped.ReplaceAllString(expr, "")
	for _, m := range selectors.FindAllStringSubmatch(expr, -1) {
		series := regexp.MustCompile(`(?m)^`+m[1]+`(\{[^}]*\})? `).FindAllString(scrape, -1)
		if len(series) == 0 {
			faults = append(faults, "no "+m[1])
			continue
		}
		for _, l := range labelled.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "error_type" { // which a success has not
				continue
			}
			if !slices.ContainsFunc(series, func(s string) bool { return strings.Contains(s, l[1]+"=") }) {
				faults = append(faults, "no "+l[1]+" on "+m[1])
			}
		}
	}
	return faults
}
